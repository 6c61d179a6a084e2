import assert from "node:assert/strict";
import { test } from "node:test";
import { expand, forServer, isSet, serverKeys, type Json } from "../src/core/settings";

test("the server never sees the extension's own settings", () => {
  const keys = ["path", "install.requirement", "preview", "trace.server", "interpreter", "fill.engine"];
  assert.deepEqual(serverKeys(keys), ["interpreter", "fill.engine"]);
});

test("dotted keys become nested objects, siblings are kept", () => {
  const explicit = new Map<string, Json>([
    ["verify.tests.sandbox", "require"],
    ["verify.tests.timeoutMs", 500],
    ["verify.types.enabled", false],
    ["codeLens", false],
  ]);
  assert.deepEqual(forServer(explicit, { trusted: true, interpreter: "/usr/bin/python3" }), {
    verify: { tests: { sandbox: "require", timeoutMs: 500 }, types: { enabled: false } },
    codeLens: false,
    interpreter: "/usr/bin/python3",
    trusted: true,
  });
});

test("an interpreter that was set wins over the one that was found", () => {
  const explicit = new Map<string, Json>([["interpreter", "/mine"]]);
  assert.equal(forServer(explicit, { trusted: false, interpreter: "/found" })["interpreter"], "/mine");
  assert.equal(forServer(new Map([["interpreter", ""]]), { trusted: false, interpreter: "/found" })["interpreter"], "/found");
});

test("trust is the editor's word, whatever a settings file says", () => {
  assert.equal(forServer(new Map([["trusted", true]]), { trusted: false, interpreter: undefined })["trusted"], false);
});

test("a default is not a value that somebody set", () => {
  assert.equal(isSet(undefined), false);
  assert.equal(isSet({}), false);
  assert.equal(isSet({ globalValue: false }), true);
  assert.equal(isSet({ workspaceFolderValue: 0 }), true);
  assert.equal(isSet({ workspaceLanguageValue: "" }), true);
});

test("variables in paths", () => {
  const variables = { workspaceFolder: "/w $& x", home: "/home/ada", env: { VENV: "/v" } };
  assert.equal(expand("~/bin/python", variables), "/home/ada/bin/python");
  assert.equal(expand("~ada/python", variables), "~ada/python");
  assert.equal(expand("${workspaceFolder}/.venv", variables), "/w $& x/.venv");
  assert.equal(expand("${env:VENV}/bin:${env:NONE}", variables), "/v/bin:");
  assert.equal(expand("${userHome}", variables), "/home/ada");
});
