import assert from "node:assert/strict";
import { test } from "node:test";
import { findInterpreter, InterpreterError, pythonVersion, runsServer, venvPython, which } from "../src/core/interpreter";
import { fakeProbe } from "./fakes";

const query = { setting: "", active: undefined, folder: "/ws", trusted: true, searchPath: "/usr/bin:/bin" };
const everything = ["/mine/python", "/env/bin/python", "/ws/.venv/bin/python", "/ws/venv/bin/python", "/usr/bin/python3"];

test("setting, then active environment, then .venv, then venv, then PATH", async () => {
  const find = (change: object, without: string[] = []) =>
    findInterpreter({ ...query, ...change }, fakeProbe(everything.filter((path) => !without.includes(path))));
  assert.deepEqual(await find({ setting: "/mine/python", active: "/env/bin/python" }), { path: "/mine/python", source: "setting" });
  assert.deepEqual(await find({ active: "/env/bin/python" }), { path: "/env/bin/python", source: "python-extension" });
  assert.deepEqual(await find({}), { path: "/ws/.venv/bin/python", source: "workspace" });
  assert.deepEqual(await find({}, ["/ws/.venv/bin/python"]), { path: "/ws/venv/bin/python", source: "workspace" });
  assert.deepEqual(await find({ folder: undefined }), { path: "/usr/bin/python3", source: "path" });
  assert.equal(await find({ folder: undefined, searchPath: "" }), undefined);
});

test("a setting that names nothing is an error, not a fall back", async () => {
  await assert.rejects(findInterpreter({ ...query, setting: "/gone" }, fakeProbe(everything)), InterpreterError);
});

test("a bare name in the setting is looked up on PATH", async () => {
  const found = await findInterpreter({ ...query, setting: "python3" }, fakeProbe(everything));
  assert.equal(found?.path, "/usr/bin/python3");
});

test("an untrusted workspace's environments are never used", async () => {
  const probe = fakeProbe(everything);
  const found = await findInterpreter({ ...query, trusted: false, active: "/ws/.venv/bin/python" }, probe);
  assert.deepEqual(found, { path: "/usr/bin/python3", source: "path" });
  const outside = await findInterpreter({ ...query, trusted: false, active: "/env/bin/python" }, probe);
  assert.equal(outside?.source, "python-extension");
  assert.deepEqual(probe.ran, []);
});

test("a folder whose name another folder begins with is not inside it", async () => {
  const probe = fakeProbe(["/ws2/.venv/bin/python"]);
  const found = await findInterpreter({ ...query, trusted: false, active: "/ws2/.venv/bin/python" }, probe);
  assert.equal(found?.source, "python-extension");
});

test("which walks the search path in order and skips empty parts", async () => {
  assert.equal(await which("tool", ":/a:/b", fakeProbe(["/b/tool"])), "/b/tool");
  assert.equal(await which("tool", "/a:/b", fakeProbe(["/a/tool", "/b/tool"])), "/a/tool");
  assert.equal(await which("tool", "", fakeProbe(["/tool"])), undefined);
});

test("versions that run the server", async () => {
  const says = (stdout: string, code = 0) => fakeProbe([], () => ({ code, stdout, stderr: "" }));
  assert.deepEqual(await pythonVersion("p", says("3 11\n")), { major: 3, minor: 11 });
  assert.equal(await pythonVersion("p", says("3 11", 1)), undefined);
  assert.equal(await pythonVersion("p", says("hello")), undefined);
  for (const [minor, runs] of [[9, false], [10, true], [14, true], [15, false]] as const) {
    assert.equal(runsServer({ major: 3, minor }), runs);
  }
  assert.equal(runsServer(undefined), false);
});

test("where a virtual environment keeps its Python", () => {
  assert.equal(venvPython("/v", false), "/v/bin/python");
  assert.match(venvPython("/v", true), /Scripts.python\.exe$/);
});
