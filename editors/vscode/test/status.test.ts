import assert from "node:assert/strict";
import { test } from "node:test";
import { view } from "../src/core/status";

test("the session's state goes before the server's last word", () => {
  const missing = view("missing", { state: "idle" }, "astral-lsp is not installed.");
  assert.equal(missing.text, "$(cloud-download) Astral: not installed");
  assert.equal(missing.tooltip, "astral-lsp is not installed.");
  assert.equal(missing.severity, "warning");
  assert.equal(view("failed", undefined, "it died").severity, "error");
});

test("while it runs the server's word counts", () => {
  assert.equal(view("running", undefined, "").text, "$(sparkle) Astral");
  assert.equal(view("running", { state: "filling", trusted: true }, "").text, "$(loading~spin) Astral: filling");
  assert.equal(view("running", { state: "filling", verified: 1 }, "").text, "$(loading~spin) Astral: filling, 1 verified");
  const loading = view("running", { state: "loading", message: "reading the weights", trusted: true }, "");
  assert.equal(loading.tooltip, "Astral: loading the model\nreading the weights");
});

test("an idle server in an untrusted workspace shows it", () => {
  assert.match(view("running", { state: "idle", trusted: false }, "").text, /restricted/);
  assert.match(view("running", { state: "filling", trusted: false }, "").text, /filling/);
});

test("a state that this version does not know is shown as it is", () => {
  assert.equal(view("running", { state: "dreaming" }, "").text, "$(sparkle) Astral: dreaming");
});
