import assert from "node:assert/strict";
import { test } from "node:test";
import { marks, oneLine, refused, row, type Judged, type Verdict } from "../src/core/candidates";

const passed: Verdict = { status: "passed" };
function fill(text: string, verdicts: Partial<Judged["verdicts"]>, verified = false): Judged {
  return { text, verified, verdicts: { syntax: passed, types: passed, tests: passed, ...verdicts } };
}

test("a verified fill has the pass icon and nothing to explain", () => {
  const shown = row(fill("x + 1", { tests: { status: "passed", count: 3 } }, true));
  assert.deepEqual(shown, {
    icon: "verified", label: "x + 1", description: "types ✓ · tests ✓ 3", detail: undefined,
  });
});

test("all passed but not called verified is not shown as verified", () => {
  assert.equal(row(fill("x", {})).icon, "open");
});

test("a refused fill says why, even if something calls it verified", () => {
  const shown = row(fill("x", { types: { status: "failed", detail: "int is not str" }, tests: { status: "not_run", detail: "types failed" } }, true));
  assert.equal(shown.icon, "refused");
  assert.equal(shown.description, "types ✗ · tests –");
  assert.equal(shown.detail, "types failed: int is not str; tests not run: types failed");
});

test("syntax is named only when it did not pass", () => {
  assert.equal(marks(fill("", { syntax: { status: "unavailable" } }).verdicts), "syntax ? · types ✓ · tests ✓");
  assert.equal(refused(fill("", { syntax: { status: "failed" } })), true);
  assert.equal(refused(fill("", { tests: { status: "unavailable" } })), false);
});

test("one line of a longer text", () => {
  assert.equal(oneLine("  a  =  1 "), "a = 1");
  assert.equal(oneLine("a\n  b"), "a … +1 line");
  assert.equal(oneLine("a\r\nb\r\nc"), "a … +2 lines");
  assert.equal(oneLine("x".repeat(100)).length, 72);
  assert.equal(oneLine("𝔸".repeat(80), 10), "𝔸".repeat(9) + "…");
  assert.equal(oneLine(""), "");
});
