// End to end in real VS Code. usage: node scenarios.mjs NAME [SCREENSHOT_DIRECTORY]
//
// Exits with 0 when the scenario held; prints one JSON line with what was measured. PYTHON names the interpreter
// that has the server's dependencies.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Editor, ROOT, until } from "./drive.mjs";

const PYTHON = process.env.PYTHON;
const SERVER = join(ROOT, "tests", "editors", "vscode", "scripted_server.py");
const PATHS = { PYTHONPATH: [ROOT, join(ROOT, "model")].join(":") };

const SHOP = `from dataclasses import dataclass


@dataclass
class Order:
    name: str
    price: float


def total(orders: list[Order]) -> float:
    """The sum of all prices. 😀"""
    return ...


def cheapest(orders: list[Order]) -> Order:
    """The order with the lowest price."""
    raise NotImplementedError
`;

const SCRIPT = {
  total: [
    { text: "sum(order.price for order in orders)", count: 2 },
    { text: "sum(map(Order.price, orders))", types: "failed", tests: "not_run", detail: '"float" not callable' },
    { text: "0.0", tests: "failed", detail: "test_total: assert 0.0 == 3.5" },
  ],
  cheapest: [{ text: "best = orders[0]\n    for order in orders:\n        if order.price < best.price:\n            best = order\n    return best", count: 1 }],
};

/** A folder with one file and a scripted server for it. */
function workspace({ script = SCRIPT, files = { "shop.py": SHOP } } = {}) {
  const home = mkdtempSync(join(tmpdir(), "astral-ws-"));
  const folder = join(home, "shop");
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, ".."), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  const log = join(home, "log.jsonl");
  writeFileSync(join(home, "script.json"), JSON.stringify(script));
  writeFileSync(log, "");
  return {
    folder,
    server: [PYTHON, SERVER, join(home, "script.json"), log],
    events: () => readFileSync(log, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line)),
    remove: () => rmSync(home, { recursive: true, force: true }),
  };
}

async function withEditor(space, options, use) {
  const settings = { "astral-lsp.path": space.server, ...options.settings };
  const editor = await Editor.open({ folder: space.folder, env: PATHS, ...options, settings });
  try {
    return await use(editor);
  } catch (error) {
    if (process.argv[3]) await editor.screenshot(join(process.argv[3], "failure.png")).catch(() => undefined);
    throw error;
  } finally {
    await editor.close();
    space.remove();
  }
}

/** Opens shop.py with the server running and the cursor on the hole of \`total\`. */
async function onFirstHole(editor) {
  await editor.openFile("shop.py");
  await editor.status(/^\s*Astral\s*$/);
  await editor.page.locator(".squiggly-hint").first().waitFor({ timeout: 90_000 });
  await editor.goTo(12, 13);
}

const list = ".quick-input-list .monaco-list-row";

async function fillHole(editor, { complete = true } = {}) {
  await editor.page.keyboard.press("Control+Alt+Space");
  await editor.page.locator(list).filter({ hasText: "sum(order.price" }).waitFor({ timeout: 90_000 });
  if (complete) await editor.page.getByPlaceholder("Escape leaves the hole").waitFor();
}

/** The list and the diff are gone, and the cursor is in the file again. */
async function backInFile(editor, name = "shop.py") {
  await editor.page.locator(".quick-input-widget").waitFor({ state: "hidden" });
  await until("the diff to close", async () => (await diffEditors(editor).count()) === 0);
  await editor.page.locator(".tab.active").filter({ hasText: new RegExp(`^${name}$`) }).waitFor();
  await editor.page.locator(".editor-instance .monaco-editor.focused").waitFor();
  await editor.page.waitForTimeout(500); // the extension puts the selection back after the tab has gone
}

async function leaveList(editor) {
  await editor.page.keyboard.press("Escape");
  await backInFile(editor);
}

function diffEditors(editor) {
  return editor.page.locator(".monaco-diff-editor");
}

const plain = (texts) => texts.join("\n").replace(/\u00a0/g, " "); // the editor draws spaces as no-break spaces

async function modifiedText(editor) {
  return plain(await editor.page.locator(".monaco-diff-editor .modified .view-lines").allInnerTexts());
}

const scenarios = {
  /** Diagnostic, list, diff that follows the list, Enter. */
  async accept() {
    return withEditor(workspace(), {}, async (editor) => {
      const started = Date.now();
      await onFirstHole(editor);
      const ready = Date.now() - started;
      await fillHole(editor);
      const rows = await editor.rows();
      assert.equal(rows.length, 3);
      assert.match(rows[0], /sum\(order\.price for order in orders\).*types ✓ · tests ✓ 2/);
      assert.match(rows.join("\n"), /types ✗ · tests –.*"float" not callable/);
      await until("the diff", async () => (await modifiedText(editor)).includes("sum(order.price for order in orders)"));
      await editor.page.keyboard.press("ArrowDown");
      await until("the second diff", async () => (await modifiedText(editor)).includes("sum(map(Order.price"));
      await editor.page.keyboard.press("ArrowUp");
      await until("the first diff again", async () => (await modifiedText(editor)).includes("sum(order.price for"));
      await editor.page.keyboard.press("Enter");
      await until("the diff to close", async () => (await diffEditors(editor).count()) === 0);
      await until("the buffer", async () => (await editor.page.locator(".view-lines").first().innerText()).includes("sum("));
      const text = await editor.saved("shop.py");
      const filled = "    return sum(order.price for order in orders)";
      assert.equal(text, SHOP.replace("    return ...", filled));
      await editor.page.locator(".statusbar-item").filter({ hasText: `Ln 12, Col ${filled.length + 1}` }).waitFor();
      await editor.page.keyboard.press("Control+Z"); // one step
      await editor.page.locator(".tab.dirty").waitFor();
      assert.equal(await editor.saved("shop.py"), SHOP);
      return { readyMs: ready };
    });
  },

  /** Escape leaves the file and the windows as they were. */
  async cancel() {
    return withEditor(workspace(), {}, async (editor) => {
      await onFirstHole(editor);
      await fillHole(editor);
      await until("the diff", async () => (await diffEditors(editor).count()) === 1);
      await leaveList(editor);
      assert.equal(await editor.page.locator(".tab").count(), 1);
      assert.equal(await editor.page.locator(".tab.dirty").count(), 0);
      await editor.page.keyboard.type("x"); // the cursor is where it was
      await editor.page.locator(".tab.dirty").waitFor();
      assert.match(await editor.saved("shop.py"), /return \.x\.\.\n/);
      await editor.page.keyboard.press("Control+Z");
      await editor.command("Add Cursor Above"); // it is there afterwards too
      await editor.page.locator(".statusbar-item").filter({ hasText: "2 selections" }).waitFor();
      await fillHole(editor);
      await until("the diff", async () => (await diffEditors(editor).count()) === 1);
      await leaveList(editor);
      await editor.page.locator(".statusbar-item").filter({ hasText: "2 selections" }).waitFor();
      return {};
    });
  },

  /** A multi-line fill of a body, reached with the next-hole key, shown as ghost text; the file has CRLF lines. */
  async body() {
    const crlf = (text) => text.replaceAll("\n", "\r\n");
    return withEditor(workspace({ files: { "shop.py": crlf(SHOP) } }), { settings: { "astral-lsp.preview": "inline" } }, async (editor) => {
      await onFirstHole(editor);
      await editor.page.keyboard.press("Control+F8");
      await editor.page.locator(".statusbar-item").filter({ hasText: /Ln 17, Col \d+ \(25 selected\)/ }).waitFor();
      await editor.page.keyboard.press("Control+Alt+Space");
      await editor.page.locator(list).filter({ hasText: "best = orders[0] … +4 lines" }).waitFor({ timeout: 90_000 });
      assert.equal(await diffEditors(editor).count(), 0);
      await editor.page.keyboard.press("Enter");
      await until("the buffer", async () => (await editor.page.locator(".view-lines").first().innerText()).includes("best"));
      const text = await editor.saved("shop.py");
      assert.equal(text, crlf(SHOP.replace("raise NotImplementedError", SCRIPT.cheapest[0].text)));
      await editor.page.locator(".statusbar-item").filter({ hasText: "Ln 21, Col 16" }).waitFor(); // behind the fill
      return {};
    });
  },

  /** The code lens and the light bulb. */
  async lens() {
    return withEditor(workspace(), {}, async (editor) => {
      await onFirstHole(editor);
      const lens = editor.page.locator(".codelens-decoration a").first();
      await lens.waitFor({ timeout: 90_000 });
      await lens.click();
      await editor.page.locator(list).filter({ hasText: "sum(order.price" }).waitFor({ timeout: 90_000 });
      await leaveList(editor);
      await editor.goTo(12, 13);
      await editor.page.waitForTimeout(1_500); // VS Code's own request soon after the cursor comes would cancel ours
      await editor.page.keyboard.press("Control+.");
      const action = editor.page.locator(".action-widget .monaco-list-row.focused").filter({ hasText: /types ✓ · tests ✓ 2/ });
      await action.waitFor({ timeout: 90_000 });
      await editor.page.keyboard.press("Enter");
      await until("the buffer", async () => (await editor.page.locator(".view-lines").first().innerText()).includes("sum("));
      assert.match(await editor.saved("shop.py"), /return sum\(order\.price for order in orders\)\n/);
      return {};
    });
  },

  /** The first fill that passes can be taken while others are drawn; what is left over is cancelled. */
  async early() {
    const [first, second, third] = SCRIPT.total;
    const script = { total: [{ ...first, seconds: 0.2 }, { ...second, seconds: 3 }, { ...third, seconds: 60 }] };
    const space = workspace({ script });
    return withEditor(space, { settings: { "astral-lsp.fill.budgetS": 90 } }, async (editor) => {
      await onFirstHole(editor);
      const started = Date.now();
      await fillHole(editor, { complete: false });
      const firstMs = Date.now() - started;
      assert.equal((await editor.rows()).length, 1);
      await editor.page.locator(".quick-input-widget .monaco-progress-container.active").waitFor({ state: "attached" });
      await editor.status(/filling, 1 verified/);
      await until("the second row", async () => (await editor.rows()).length === 2);
      assert.match(await editor.page.locator(`${list}.focused`).innerText(), /sum\(order/, "the row under Enter moved");
      await until("the diff", async () => (await modifiedText(editor)).includes("sum(order.price for order in orders)"));
      await editor.page.keyboard.press("Enter");
      await backInFile(editor);
      assert.match(await editor.saved("shop.py"), /return sum\(order\.price for order in orders\)\n/);
      await until("the rest to be cancelled", () => space.events().some(({ event, stopped }) => event === "fill" && stopped));
      await editor.status(/^\s*Astral\s*$/);
      return { firstMs };
    });
  },

  /** Known fills are the first suggestions at a hole; one replaces the whole hole. */
  async suggest() {
    return withEditor(workspace(), {}, async (editor) => {
      await onFirstHole(editor);
      await fillHole(editor);
      await leaveList(editor);
      await editor.goTo(12, 15);
      await editor.page.keyboard.press("Control+Space");
      const first = editor.page.locator(".suggest-widget .monaco-list-row").first();
      await first.filter({ hasText: /sum\(order\.price for order in orders\)/ }).waitFor({ timeout: 90_000 });
      assert.match(await first.innerText(), /types ✓ · tests ✓ 2/);
      await editor.page.keyboard.press("Enter");
      await until("the buffer", async () => (await editor.page.locator(".view-lines").first().innerText()).includes("sum("));
      assert.equal(await editor.saved("shop.py"), SHOP.replace("return ...", "return sum(order.price for order in orders)"));
      return {};
    });
  },

  /** Ghost text where an expression is missing: asked for by command, taken with Tab, gone with one undo. */
  async ghost() {
    const text = SHOP.replace("return ...", "return ");
    const space = workspace({ files: { "shop.py": text } });
    return withEditor(space, { settings: { "astral-lsp.inlineCompletion": true } }, async (editor) => {
      await editor.openFile("shop.py");
      await editor.status(/^\s*Astral\s*$/);
      await editor.goTo(12, 12);
      await editor.command("Trigger Inline Suggestion");
      const lines = editor.page.locator(".editor-instance .view-lines").first();
      await until("ghost text", async () => plain([await lines.innerText()]).includes("return sum(order.price for order"));
      await editor.page.keyboard.press("Tab");
      await editor.page.locator(".tab.dirty").waitFor();
      assert.equal(await editor.saved("shop.py"), SHOP.replace("return ...", "return sum(order.price for order in orders)"));
      await editor.page.keyboard.press("Control+Z");
      await editor.page.locator(".tab.dirty").waitFor();
      assert.equal(await editor.saved("shop.py"), text);
      return {};
    });
  },

  /** One level of the best fill, with holes below it. */
  async refine() {
    return withEditor(workspace(), {}, async (editor) => {
      await onFirstHole(editor);
      await editor.command("Astral: Refine Hole");
      await until("the buffer", async () => (await editor.page.locator(".view-lines").first().innerText()).includes("sum("));
      assert.equal(await editor.saved("shop.py"), SHOP.replace("return ...", "return sum(...)"));
      return {};
    });
  },

  /** Holes in a notebook's cells: hint, list, ghost text, Enter; the way from cell to cell; one program. */
  async notebook() {
    const cell = (...lines) => ({ cell_type: "code", execution_count: null, metadata: {}, outputs: [], source: lines });
    const classes = SHOP.slice(0, SHOP.indexOf("\n\n\ndef total")).split(/(?<=\n)/);
    const total = ["%time\n", "def total(orders: list[Order]) -> float:\n", "    return ..."];
    const twice = ["twice = total([]) * ..."];
    const metadata = { language_info: { name: "python" }, kernelspec: { name: "python3", display_name: "Python 3", language: "python" } };
    const book = { cells: [cell(...classes), cell(...total), cell(...twice)], metadata, nbformat: 4, nbformat_minor: 5 };
    const space = workspace({ files: { "shop.ipynb": JSON.stringify(book) } });
    return withEditor(space, {}, async (editor) => {
      await editor.openNotebook("shop.ipynb");
      const lines = editor.page.locator(".notebookOverlay .cell .view-line");
      await lines.filter({ hasText: "return" }).click();
      await editor.page.locator(".notebookOverlay .squiggly-hint").first().waitFor({ timeout: 90_000 });
      await editor.page.keyboard.press("End");
      await editor.page.keyboard.press("ArrowLeft");
      await fillHole(editor);
      assert.match((await editor.rows())[0], /sum\(order\.price for order in orders\).*types ✓ · tests ✓ 2/);
      await editor.page.keyboard.press("Enter");
      await lines.filter({ hasText: /sum\(order\.price/ }).waitFor();
      const saved = JSON.parse(await editor.saved("shop.ipynb"));
      assert.deepEqual(saved.cells[0].source, book.cells[0].source);
      const filled = total.join("").replace("...", "sum(order.price for order in orders)");
      assert.equal(saved.cells[1].source.join(""), filled);
      await editor.page.keyboard.press("Control+F8");
      await editor.page.locator(".notebookOverlay .monaco-list-row.focused .view-line").filter({ hasText: /twice/ }).waitFor();
      await editor.page.keyboard.type("2"); // the hole is selected
      await lines.filter({ hasText: /total\(\[\]\)\s*\*\s*2/ }).waitFor();
      return {};
    });
  },

  /** "Fill All Holes in File" in a notebook: all its cells, in one edit; and the answer says so. */
  async cells() {
    const cell = (...lines) => ({ cell_type: "code", execution_count: null, metadata: {}, outputs: [], source: lines });
    const classes = SHOP.slice(0, SHOP.indexOf("\n\n\ndef total")).split(/(?<=\n)/);
    const total = ["def total(orders: list[Order]) -> float:\n", "    return ..."];
    const text = { cell_type: "markdown", metadata: {}, source: ["Twice the *total*: ..."] };
    const metadata = { language_info: { name: "python" }, kernelspec: { name: "python3", display_name: "Python 3", language: "python" } };
    const book = { cells: [cell(...classes), cell(...total), text, cell("twice = total([]) * ...")], metadata, nbformat: 4, nbformat_minor: 5 };
    const script = { ...SCRIPT, "": [{ text: "2.0", tests: "not_run", detail: "no test reaches this hole" }] };
    const space = workspace({ files: { "shop.ipynb": JSON.stringify(book) }, script });
    return withEditor(space, {}, async (editor) => {
      await editor.openNotebook("shop.ipynb");
      await editor.page.locator(".notebookOverlay .cell .view-line").filter({ hasText: "return" }).click();
      await editor.page.locator(".notebookOverlay .squiggly-hint").first().waitFor({ timeout: 90_000 });
      await editor.command("Astral: Fill All Holes in File");
      await editor.notification(/filled 2 of 2 holes in 2 cells, 1 verified; unverified: types ✓ · tests –/);
      const saved = JSON.parse(await editor.saved("shop.ipynb"));
      const sources = saved.cells.map(({ source }) => source.join(""));
      const filled = total.join("").replace("...", "sum(order.price for order in orders)");
      assert.deepEqual(sources, [classes.join(""), filled, text.source[0], "twice = total([]) * 2.0"]);
      return {};
    });
  },

  /** A server that never answers its first request, then one that stops answering: said, and restarted. */
  async hang() {
    const space = workspace();
    const settings = join(space.folder, ".vscode", "settings.json");
    mkdirSync(join(space.folder, ".vscode"));
    writeFileSync(settings, JSON.stringify({ "astral-lsp.path": ["/bin/sh", "-c", "exec sleep 600"] }));
    return withEditor(space, {}, async (editor) => {
      await editor.openFile("shop.py");
      await editor.status(/starting/);
      await editor.goTo(12, 13);
      await editor.page.keyboard.press("Control+Alt+Space");
      await editor.notification(/waiting for the server to start/);
      writeFileSync(settings, "{}");
      await editor.page.waitForTimeout(2_000); // VS Code reads the settings again
      await editor.command("Astral: Restart Server");
      await editor.page.locator(list).filter({ hasText: "sum(order.price" }).waitFor({ timeout: 90_000 }); // it was still wanted
      await leaveList(editor);

      const starts = () => space.events().filter(({ event }) => event === "start");
      const before = starts().length;
      const { pid } = starts().at(-1);
      process.kill(pid, "SIGSTOP");
      await editor.page.keyboard.press("Control+Alt+Space");
      await editor.notification(/the server has not answered for 20 s/, 120_000);
      await editor.page.getByRole("button", { name: "Restart Server" }).first().click();
      await until("another server", () => starts().length > before);
      await editor.status(/^\s*Astral\s*$/);
      await editor.goTo(12, 13);
      await fillHole(editor);
      await leaveList(editor);
      await until("the old server to end", () => !existsSync(`/proc/${pid}`));
      return {};
    });
  },

  /** Two folders in one window: each with its own settings and engine, one server; one folder leaves. */
  async roots() {
    const files = {
      "one/shop.py": SHOP,
      "two/store.py": SHOP,
      "two/.vscode/settings.json": JSON.stringify({ "astral-lsp.fill.candidates": 7 }),
      "both.code-workspace": JSON.stringify({ folders: [{ path: "one" }, { path: "two" }], settings: {} }),
    };
    const space = workspace({ files });
    const options = { workspace: join(space.folder, "both.code-workspace"), settings: { "astral-lsp.fill.candidates": 3 } };
    return withEditor(space, options, async (editor) => {
      const starts = () => space.events().filter(({ event }) => event === "start");
      for (const path of ["one/shop.py", "two/store.py"]) {
        const name = path.split("/")[1];
        await editor.openFile(path);
        await editor.status(/^\s*Astral\s*$/);
        await editor.page.locator(".squiggly-hint").first().waitFor({ timeout: 90_000 });
        await editor.goTo(12, 13);
        await fillHole(editor);
        await editor.page.keyboard.press("Enter");
        await backInFile(editor, name);
        assert.match(await editor.saved(path), /return sum\(order\.price for order in orders\)\n/);
      }
      const engines = starts().map(({ root, candidates }) => [root.split("/").pop(), candidates]);
      assert.deepEqual(engines, [["one", 3], ["two", 7]]);
      assert.equal(new Set(starts().map(({ pid }) => pid)).size, 1, "a server for each folder");

      await editor.page.locator('.explorer-folders-view .monaco-list-row[aria-label^="two"]').first().click({ button: "right" });
      const remove = editor.page.getByRole("menuitem", { name: "Remove Folder from Workspace" });
      await remove.waitFor();
      await editor.page.waitForTimeout(500); // a menu that has just opened takes no click
      await remove.click();
      await remove.waitFor({ state: "hidden" });
      await until("the engine of the folder to close", () =>
        space.events().some(({ event, root }) => event === "close" && root.endsWith("/two")));
      await editor.openFile("shop.py");
      await editor.goTo(17, 10);
      await editor.page.keyboard.press("Control+Alt+Space");
      await editor.page.locator(list).filter({ hasText: "best = orders[0] … +4 lines" }).waitFor({ timeout: 90_000 });
      return {};
    });
  },

  /** A buffer that was never saved is filled in place. */
  async untitled() {
    const space = workspace({ script: { ...SCRIPT, "": [{ text: "len(__name__)", tests: "not_run", detail: "no test reaches this hole" }] } });
    return withEditor(space, {}, async (editor) => {
      await editor.openFile("shop.py"); // the extension starts
      await editor.status(/^\s*Astral\s*$/);
      await editor.page.keyboard.press("Control+Alt+N");
      await editor.page.locator(".tab.active").filter({ hasText: "Untitled-1" }).waitFor();
      await editor.command("Change Language Mode");
      await editor.page.locator(".quick-input-widget input.input").fill("Python");
      await editor.page.locator(`${list}.focused`).filter({ hasText: /^\s*Python/ }).waitFor();
      await editor.page.keyboard.press("Enter");
      await editor.page.keyboard.type("size: int = ... ");
      await editor.page.locator(".squiggly-hint").first().waitFor({ timeout: 90_000 });
      await editor.page.keyboard.press("Control+Alt+Space");
      await editor.page.locator(list).filter({ hasText: /len\(__name__\).*types ✓ · tests –/ }).waitFor({ timeout: 90_000 });
      await editor.page.getByPlaceholder("Escape leaves the hole").waitFor();
      await editor.page.keyboard.press("Enter");
      const lines = editor.page.locator(".editor-instance .view-lines").first();
      await until("the buffer", async () => plain([await lines.innerText()]).includes("size: int = len(__name__)"));
      return {};
    });
  },

  /** All holes of a file in one edit that one undo takes back. */
  async file() {
    return withEditor(workspace(), {}, async (editor) => {
      await onFirstHole(editor);
      await editor.command("Astral: Fill All Holes in File");
      await editor.notification(/filled 2 of 2 holes, 2 verified/);
      const filled = await editor.saved("shop.py");
      assert.ok(filled.includes("sum(order.price") && filled.includes("return best"));
      await editor.page.locator(".editor-instance").first().click();
      await editor.page.keyboard.press("Control+Z");
      await until("the undo", async () => (await editor.page.locator(".tab.dirty").count()) === 1);
      assert.equal(await editor.saved("shop.py"), SHOP);
      return {};
    });
  },

  /** A selection becomes a hole; a hole's rejected candidates are explained. */
  async selection() {
    const text = SHOP.replace("return ...", "return 0.0 + 1.0");
    const script = { ...SCRIPT };
    return withEditor(workspace({ files: { "shop.py": text }, script }), {}, async (editor) => {
      await editor.openFile("shop.py");
      await editor.status(/^\s*Astral\s*$/);
      await editor.goTo(12, 12);
      await editor.page.keyboard.press("Shift+End");
      await editor.page.keyboard.press("Control+Alt+Shift+Space");
      await editor.page.locator(list).filter({ hasText: "sum(order.price" }).waitFor({ timeout: 90_000 });
      await leaveList(editor);
      await editor.goTo(12, 12);
      await editor.page.keyboard.press("Shift+End");
      await editor.command("Astral: Make Hole from Selection");
      await until("the buffer", async () => (await editor.page.locator(".view-lines").first().innerText()).includes("..."));
      assert.equal(await editor.saved("shop.py"), SHOP);
      await editor.goTo(12, 13);
      await fillHole(editor);
      await leaveList(editor);
      await editor.command("Astral: Explain Rejected Candidates");
      await editor.page.locator(".tab").filter({ hasText: /Rejected candidates/ }).waitFor({ timeout: 90_000 });
      return {};
    });
  },

  /** Restricted mode: the workspace's server and interpreter are not started, tests are not run; then trust. */
  async trust() {
    const evil = "#!/bin/sh\ntouch \"$(dirname \"$0\")/was-run\"\nexec python3 \"$@\"\n";
    const space = workspace();
    mkdirSync(join(space.folder, ".vscode"));
    mkdirSync(join(space.folder, ".venv", "bin"), { recursive: true });
    writeFileSync(join(space.folder, ".venv", "bin", "python"), evil, { mode: 0o755 });
    writeFileSync(join(space.folder, "evil"), evil, { mode: 0o755 });
    const hostile = { "astral-lsp.path": [join(space.folder, "evil")], "astral-lsp.interpreter": join(space.folder, "evil") };
    writeFileSync(join(space.folder, ".vscode", "settings.json"), JSON.stringify(hostile));
    const ran = () => existsSync(join(space.folder, "was-run")) || existsSync(join(space.folder, ".venv", "bin", "was-run"));
    return withEditor(space, { trust: "on" }, async (editor) => {
      await editor.page.getByText("No, I don't trust the authors").click();
      await editor.openFile("shop.py");
      await editor.status(/restricted/);
      await editor.goTo(12, 13);
      await fillHole(editor);
      assert.match((await editor.rows())[0], /types ✓ · tests –.*untrusted workspace/);
      await leaveList(editor); // at once: the diff may only be opening
      assert.equal(ran(), false, "a program of an untrusted workspace was run");
      assert.equal(space.events().find(({ event }) => event === "start").trusted, false);

      // the workspace's own settings are harmless from here on: what is tested is that trust reaches the server
      writeFileSync(join(space.folder, ".vscode", "settings.json"), "{}");
      await editor.command("Workspaces: Manage Workspace Trust");
      await editor.page.getByRole("button", { name: "Trust", exact: true }).first().click();
      await until("trust to reach the server", () => space.events().some(({ event, trusted }) => event !== "fill" && trusted === true));
      await editor.openFile("shop.py");
      await editor.status(/^\s*Astral\s*$/);
      return {};
    });
  },

  /** Settings reach the server without a restart, defaults do not reach it, restart works, the server may die. */
  async life() {
    const pyproject = "[tool.astral-lsp.fill]\nengine = 'hybrid'\n";
    const space = workspace({ files: { "shop.py": SHOP, "pyproject.toml": pyproject } });
    return withEditor(space, { settings: { "astral-lsp.fill.candidates": 2 } }, async (editor) => {
      await onFirstHole(editor);
      await fillHole(editor);
      await leaveList(editor);
      assert.equal(space.events().find(({ event }) => event === "start").engine, "hybrid", "a default hid pyproject.toml");
      mkdirSync(join(space.folder, ".vscode"));
      writeFileSync(join(space.folder, ".vscode", "settings.json"), JSON.stringify({ "astral-lsp.fill.candidates": 7 }));
      await until("the new setting", () => space.events().some(({ event, candidates }) => event === "configure" && candidates === 7));

      const starts = () => space.events().filter(({ event }) => event === "start").length;
      assert.equal(starts(), 1);
      await editor.command("Astral: Restart Server");
      await until("the old server to close", () => space.events().some(({ event }) => event === "close"));
      await editor.goTo(12, 13);
      await fillHole(editor); // it may still be starting: the command waits
      await leaveList(editor);
      assert.equal(starts(), 2);

      const { pid } = space.events().findLast(({ event }) => event === "start");
      process.kill(pid, "SIGKILL");
      await until("the server to come back", () => starts() === 3);
      await editor.goTo(12, 13);
      await fillHole(editor);
      await leaveList(editor);

      await editor.command("Astral: Check the Environment (Doctor)");
      await until("the doctor's report", async () => /mypy/.test(plain(await editor.page.locator(".view-lines").allInnerTexts())), 90_000);
      await editor.command("Astral: Show Menu");
      await until("the menu", async () => (await editor.rows()).includes("Restart Server"));
      await editor.page.keyboard.press("Escape");
      await editor.command("Astral: Show Logs");
      await editor.page.locator(".output-view-content .view-line, .part.panel .view-line").filter({ hasText: /starting/ }).first().waitFor();
      await editor.command("View: Toggle Panel Visibility");
      await editor.command("Astral: Print Debug Information");
      await editor.page.locator(".tab.active").filter({ hasText: /Untitled|Astral debug/ }).waitFor();
      await until("the debug information", async () => /server from: setting/.test(plain(await editor.page.locator(".view-lines").allInnerTexts())));
      return {};
    });
  },

  /** The real server with the real weights on the example: the first candidate ends up in the buffer. */
  async real() {
    const space = workspace({ files: {} });
    cpSync(join(ROOT, "examples", "orders"), space.folder, { recursive: true });
    const settings = { "astral-lsp.path": [], "astral-lsp.interpreter": PYTHON, "astral-lsp.fill.budgetS": 60 };
    return withEditor(space, { settings }, async (editor) => {
      const before = readFileSync(join(space.folder, "orders.py"), "utf8").split("\n");
      const line = before.findIndex((text) => text.includes("key=..."));
      await editor.openFile("orders.py");
      await editor.goTo(line + 1, before[line].indexOf("...") + 2);
      await editor.page.locator(".squiggly-hint").first().waitFor({ timeout: 90_000 });
      const started = Date.now();
      await editor.page.keyboard.press("Control+Alt+Space");
      const first = editor.page.locator(list).first();
      const again = editor.page.getByRole("button", { name: "Try Again" }).first(); // the model is still loading
      await until("a list", async () => {
        if (await again.isVisible()) await again.click();
        return first.isVisible();
      }, 500_000, 500);
      const label = await first.locator(".label-name").first().innerText();
      const [row] = await editor.rows();
      await editor.page.keyboard.press("Enter");
      await editor.page.locator(".tab.dirty").waitFor();
      await backInFile(editor, "orders.py");
      const after = (await editor.saved("orders.py")).split("\n");
      assert.equal(after[line], before[line].replace("...", label.replace(/\u00a0/g, " ")));
      assert.deepEqual(after.toSpliced(line, 1), before.toSpliced(line, 1));
      return { firstListMs: Date.now() - started, row };
    });
  },

  /** No server: the offer; an installation that fails says why and leaves nothing; the item says so. */
  async install() {
    const space = workspace();
    const bare = join(space.folder, "..", "bare");
    execFileSync(PYTHON, ["-m", "venv", "--without-pip", bare]);
    const settings = {
      "astral-lsp.path": [],
      "astral-lsp.interpreter": join(bare, "bin", "python"),
      "astral-lsp.install.requirement": "astral-lsp-that-does-not-exist",
      "astral-lsp.install.pipArguments": ["--no-index"],
    };
    return withEditor(space, { settings, env: { PYTHONPATH: "", PYTHONNOUSERSITE: "1" } }, async (editor) => {
      await editor.openFile("shop.py");
      await editor.status(/not installed/);
      await editor.notification(/Install it into a private environment\?/);
      await editor.page.getByRole("button", { name: "Install", exact: true }).click();
      const message = await editor.notification(/Installing .* failed/, 120_000);
      assert.match(message, /No matching distribution found for astral-lsp-that-does-not-exist/);
      const storage = join(editor.home, "data", "User", "globalStorage", "astral-lsp.astral-lsp", "server");
      assert.deepEqual(readdirSync(storage), [], "something half-installed is left");
      await editor.status(/not installed/);
      return {};
    });
  },

  /** An installation that succeeds: the wheel of this checkout (its dependencies are lent), used at once; removed again. */
  async installed() {
    const space = workspace();
    const home = join(space.folder, "..");
    execFileSync(PYTHON, ["-m", "hatchling", "build", "-t", "wheel", "-d", home], { cwd: ROOT });
    const wheel = readdirSync(home).find((name) => name.endsWith(".whl"));
    const bare = join(home, "bare");
    execFileSync(PYTHON, ["-m", "venv", "--without-pip", bare]);
    const lent = execFileSync(PYTHON, ["-c", "import pygls; print(pygls.__path__[0].rsplit('/', 1)[0])"], { encoding: "utf8" }).trim();
    const settings = {
      "astral-lsp.path": [],
      "astral-lsp.interpreter": join(bare, "bin", "python"),
      "astral-lsp.install.requirement": join(home, wheel),
      "astral-lsp.install.pipArguments": ["--no-index", "--no-deps"],
    };
    return withEditor(space, { settings, env: { PYTHONPATH: lent, PYTHONNOUSERSITE: "1" } }, async (editor) => {
      await editor.openFile("shop.py");
      await editor.notification(/Install it into a private environment\?/);
      const started = Date.now();
      await editor.page.getByRole("button", { name: "Install", exact: true }).click();
      await editor.status(/^\s*Astral\s*$/, 240_000);
      const installMs = Date.now() - started;
      await editor.page.locator(".squiggly-hint").first().waitFor({ timeout: 90_000 });
      await editor.command("Astral: Print Debug Information");
      await until("the debug information", async () => /server from: private/.test(plain(await editor.page.locator(".view-lines").allInnerTexts())));
      const storage = join(editor.home, "data", "User", "globalStorage", "astral-lsp.astral-lsp", "server");
      assert.deepEqual(readdirSync(storage), ["a"]);
      await editor.command("Astral: Remove the Private Environment");
      await editor.page.getByRole("button", { name: "Remove", exact: true }).click();
      await editor.status(/not installed/);
      assert.equal(existsSync(storage), false);
      return { installMs };
    });
  },
};

const name = process.argv[2];
const run = scenarios[name];
if (!run) {
  console.error(`usage: node scenarios.mjs ${Object.keys(scenarios).join("|")} [SCREENSHOT_DIRECTORY]`);
  process.exit(2);
}
const started = Date.now();
const measured = await run();
console.log(JSON.stringify({ scenario: name, ok: true, totalMs: Date.now() - started, ...measured }));
