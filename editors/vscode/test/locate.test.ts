import assert from "node:assert/strict";
import { test } from "node:test";
import { locateServer, ServerPathError, type ServerQuery } from "../src/core/locate";
import { fakeProbe } from "./fakes";

const query: ServerQuery = {
  setting: [],
  interpreter: { path: "/env/bin/python", source: "path" },
  privateEnvironment: "/store/server",
  searchPath: "/usr/bin",
  neutral: "/store/run",
};
const files = ["/env/bin/python", "/store/server/bin/python", "/usr/bin/astral-lsp", "/opt/tool"];

function having(...pythons: string[]) {
  return fakeProbe(files, (command) =>
    pythons.includes(command) ? { code: 0, stdout: "0.1.0\n", stderr: "" } : { code: 3, stdout: "", stderr: "" },
  );
}

test("setting, then interpreter, then private environment, then PATH", async () => {
  const both = having("/env/bin/python", "/store/server/bin/python");
  const first = await locateServer({ ...query, setting: ["/opt/tool", "--debug"] }, both);
  assert.deepEqual(first, { command: "/opt/tool", args: ["--debug", "--stdio"], source: "setting", version: "" });
  assert.deepEqual(both.ran, [], "a setting is not probed");
  const second = await locateServer(query, both);
  assert.deepEqual(second, { command: "/env/bin/python", args: ["-m", "astral_lsp.cli", "--stdio"], source: "interpreter", version: "0.1.0" });
  assert.equal((await locateServer(query, having("/store/server/bin/python")))?.source, "private");
  assert.deepEqual(await locateServer(query, having()), { command: "/usr/bin/astral-lsp", args: ["--stdio"], source: "path", version: "" });
  assert.equal(await locateServer({ ...query, searchPath: "" }, having()), undefined);
});

test("a setting that names nothing is an error", async () => {
  await assert.rejects(locateServer({ ...query, setting: ["/gone"] }, having()), ServerPathError);
});

test("programs run where no file of the workspace can be imported", async () => {
  const places: (string | undefined)[] = [];
  const probe = fakeProbe(files, (_command, _args, options) => {
    places.push(options?.cwd);
    return { code: 3, stdout: "", stderr: "" };
  });
  await locateServer(query, probe);
  assert.deepEqual(places, ["/store/run", "/store/run"]);
});
