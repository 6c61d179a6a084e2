import assert from "node:assert/strict";
import { test } from "node:test";
import { offsetAt, replaced } from "../src/core/text";

test("offsets count UTF-16 units, lines end at \\n, \\r\\n and \\r", () => {
  const text = "a😀b\r\ncd\re\n";
  assert.equal(offsetAt(text, { line: 0, character: 3 }), 3);
  assert.equal(offsetAt(text, { line: 1, character: 1 }), 7);
  assert.equal(offsetAt(text, { line: 2, character: 0 }), 9);
  assert.equal(offsetAt(text, { line: 3, character: 0 }), text.length);
});

test("positions past the end are clamped", () => {
  assert.equal(offsetAt("ab\r\ncd", { line: 0, character: 99 }), 2);
  assert.equal(offsetAt("ab\ncd", { line: 7, character: 0 }), 5);
  assert.equal(offsetAt("", { line: 0, character: 0 }), 0);
});

test("several replacements, in any order", () => {
  const at = (line: number, from: number, to: number, text: string) => ({
    start: { line, character: from }, end: { line, character: to }, text,
  });
  assert.equal(replaced("f(...)\ng(...)", [at(0, 2, 5, "1,\n 2"), at(1, 2, 5, "3")]), "f(1,\n 2)\ng(3)");
  assert.equal(replaced("f(...)\ng(...)", [at(1, 2, 5, "3"), at(0, 2, 5, "1")]), "f(1)\ng(3)");
});
