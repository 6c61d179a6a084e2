import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { install, InstallError, privateEnvironment, reason } from "../src/core/install";
import { installedVersion } from "../src/core/locate";
import { system } from "../src/core/probe";
import { fakeProbe } from "./fakes";

const WHEEL = `
import sys, zipfile
name = sys.argv[1] + "/astral_lsp-9.8.7-py3-none-any.whl"
info = "astral_lsp-9.8.7.dist-info/"
with zipfile.ZipFile(name, "w") as wheel:
    wheel.writestr("astral_lsp/__init__.py", "")
    wheel.writestr("astral_lsp/cli.py", "")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: astral-lsp\\nVersion: 9.8.7\\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(info + "RECORD", "")
print(name)
`;

function python(): string | undefined {
  try {
    execFileSync("python3", ["-c", "import venv, ensurepip"], { stdio: "ignore" });
    return execFileSync("python3", ["-c", "import sys; print(sys.executable)"], { encoding: "utf8" }).trim();
  } catch {
    return undefined;
  }
}

const real = python();
const noReal = real === undefined ? "there is no python3 with venv" : false;

function plan(home: string, requirement: string) {
  const neutral = join(home, "run");
  mkdirSync(neutral, { recursive: true });
  return { python: real ?? "", home: join(home, "server"), requirement, pipArguments: ["--no-index", "--no-deps"], neutral };
}

test("a real private environment from a wheel, twice", { skip: noReal, timeout: 120_000 }, async () => {
  const home = mkdtempSync(join(tmpdir(), "astral install "));
  try {
    const wheel = execFileSync(real ?? "", ["-c", WHEEL, home], { encoding: "utf8" }).trim();
    const wanted = plan(home, wheel);
    assert.equal(await privateEnvironment(wanted.home), undefined);
    const used: string[] = [];
    for (let time = 0; time < 2; time++) {
      const said: string[] = [];
      await install(wanted, system, (title) => said.push(title), new AbortController().signal);
      assert.equal(said.length, 3);
      const directory = await privateEnvironment(wanted.home);
      assert.ok(directory);
      assert.equal(await installedVersion(join(directory, "bin", "python"), wanted.neutral, system), "9.8.7");
      used.push(directory);
    }
    assert.notEqual(used[0], used[1]);
    assert.deepEqual(readdirSync(wanted.home).length, 1, "the replaced environment is gone");

    const broken = { ...wanted, requirement: join(home, "gone.whl") };
    await assert.rejects(install(broken, system, () => undefined, new AbortController().signal), InstallError);
    assert.equal(await privateEnvironment(wanted.home), used[1], "a failed update keeps what worked");
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});

test("a failure names its reason and leaves nothing behind", { skip: noReal, timeout: 120_000 }, async () => {
  const home = mkdtempSync(join(tmpdir(), "astral-install-"));
  try {
    const wanted = plan(home, "astral-lsp");
    const going = install(wanted, system, () => undefined, new AbortController().signal);
    await assert.rejects(going, (error: unknown) => {
      assert.ok(error instanceof InstallError);
      assert.match(error.message, /^Installing astral-lsp failed: .*No matching distribution/);
      assert.match(error.output, /Could not find a version/);
      return true;
    });
    assert.equal(await privateEnvironment(wanted.home), undefined);
    assert.deepEqual(readdirSync(wanted.home), []);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});

test("cancelling stops the program and says so", { timeout: 20_000 }, async () => {
  const home = mkdtempSync(join(tmpdir(), "astral-install-"));
  const slow = join(home, "slow");
  writeFileSync(slow, "#!/bin/sh\nexec sleep 60\n", { mode: 0o755 });
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 200);
  const started = Date.now();
  await assert.rejects(install({ ...plan(home, "x"), python: slow }, system, () => undefined, stop.signal), /failed: cancelled/);
  assert.ok(Date.now() - started < 10_000);
  rmSync(home, { recursive: true, force: true });
});

test("reasons in one line", () => {
  const says = (stderr: string) => reason({ code: 1, stdout: "", stderr });
  assert.match(says("The virtual environment was not created successfully because ensurepip is not available."), /python3-venv/);
  assert.equal(says("noise\nERROR: no space left\nnotice: a new pip"), "no space left");
  assert.equal(says("Traceback\nModuleNotFoundError: No module named 'torch'"), "ModuleNotFoundError: No module named 'torch'");
  assert.equal(says(""), "it ended with status 1");
});

test("a step that fails stops the plan", async () => {
  const probe = fakeProbe([], () => ({ code: 1, stdout: "", stderr: "no" }));
  const wanted = { python: "py", home: join(tmpdir(), "astral-none"), requirement: "r", pipArguments: [], neutral: tmpdir() };
  await assert.rejects(install(wanted, probe, () => undefined, new AbortController().signal), /Creating a private environment failed: no/);
  assert.equal(probe.ran.length, 1);
});
