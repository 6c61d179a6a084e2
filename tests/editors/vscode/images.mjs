// The screenshots of the main README: the real server with the real weights on a copy of examples/orders.
//
// usage: node images.mjs DIRECTORY [BUDGET_SECONDS [PICTURE,...]]
//
// PYTHON names an interpreter with astral-lsp's dependencies; the weights must be stored (astral-lsp model pull).
// Prints one JSON line for each picture: what was on it. Nothing is retouched; a run may show other fills.

import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Editor, ROOT, until } from "./drive.mjs";

const [target, budget = "8", wanted = "vscode-hole,vscode-fill,vscode-rejected"] = process.argv.slice(2);
if (!target) {
  console.error("usage: node images.mjs DIRECTORY [BUDGET_SECONDS [PICTURE,...]]");
  process.exit(2);
}
mkdirSync(target, { recursive: true });

const MINUTES = 60_000;
const VIEW = { width: 890, height: 560 }; // below 900 VS Code shows a diff in one column
const rows = ".quick-input-list .monaco-list-row";

const home = mkdtempSync(join(tmpdir(), "astral-images-"));
const folder = join(home, "orders");
cpSync(join(ROOT, "examples", "orders"), folder, { recursive: true, filter: (path) => !path.includes("__pycache__") });

const settings = {
  "astral-lsp.interpreter": process.env.PYTHON,
  "astral-lsp.fill.budgetS": Number(budget),
  "workbench.activityBar.location": "hidden",
  "editor.fontSize": 14,
  "editor.stickyScroll.enabled": false,
  "editor.guides.indentation": false,
  "window.title": "${activeEditorShort}",
};

/** Runs "Fill Hole" until there is a list: the first time the model may still be loading. */
async function fillList(editor, line, column) {
  for (let attempt = 1; ; attempt++) {
    await editor.goTo(line, column);
    await editor.page.keyboard.press("Control+Alt+Space");
    const found = await Promise.race([
      editor.page.locator(rows).first().waitFor({ timeout: 5 * MINUTES }).then(() => true),
      editor.notification(/Astral: /, 5 * MINUTES).then(() => false),
    ]);
    if (found) {
      await editor.page.getByPlaceholder("Escape leaves the hole").waitFor({ timeout: 5 * MINUTES }); // all are there
      return editor.rows();
    }
    if (attempt === 8) throw new Error("the model never answered");
    await editor.command("Notifications: Clear All Notifications");
    await editor.status(/^\s*Astral\s*$/, 5 * MINUTES);
  }
}

async function picture(editor, name, facts) {
  await editor.page.waitForTimeout(1_000); // animations
  await editor.screenshot(join(target, `${name}.png`));
  console.log(JSON.stringify({ picture: name, ...facts }));
}

async function leave(editor) {
  await editor.page.keyboard.press("Escape");
  await editor.page.locator(".monaco-editor.focused").first().waitFor();
  await until("one tab", async () => (await editor.page.locator(".tab").count()) === 1);
  await editor.page.waitForTimeout(1_500); // the focus comes back after the tab has gone
}

const pictures = {
  /** What a hole shows before anything is asked. */
  async "vscode-hole"(editor) {
    await editor.goTo(53, 12);
    const hint = editor.page.getByText(": list[Order]", { exact: true }).last();
    await hint.waitFor({ timeout: 5 * MINUTES }); // mypy has answered
    const { x, y, height } = await hint.boundingBox();
    // a pointer that comes to rest: one jump is no hover to VS Code
    await editor.page.mouse.move(x - 40, y + height / 2 + 60);
    await editor.page.mouse.move(x - 14, y + height / 2, { steps: 12 });
    await until("the hover's own text", async () => /list\[Order\]/.test(await hover(editor)));
    await picture(editor, "vscode-hole", { hover: (await hover(editor)).slice(0, 300) });
    await editor.page.mouse.move(VIEW.width / 2, VIEW.height - 5);
  },

  /** The argument of max(): an expression, with refused candidates below the verified ones. */
  async "vscode-fill"(editor) {
    await picture(editor, "vscode-fill", { rows: await fillList(editor, 44, 37) });
    await leave(editor);
  },

  /** Why the others were refused; after vscode-fill. */
  async "vscode-rejected"(editor) {
    await editor.goTo(44, 37);
    await editor.command("Astral: Explain Rejected Candidates");
    await editor.page.locator(".tab").filter({ hasText: /Rejected candidates/ }).waitFor();
    await editor.page.waitForTimeout(4_000); // the preview is a frame of its own
    await picture(editor, "vscode-rejected", {});
  },
};

async function hover(editor) {
  return (await editor.page.locator(".monaco-hover .hover-row").allInnerTexts()).join("\n");
}

const editor = await Editor.open({
  folder,
  settings,
  viewport: VIEW,
  scale: 1.5,
  env: { PYTHONPATH: [ROOT, join(ROOT, "model")].join(":") },
});
try {
  await editor.openFile("orders.py");
  await editor.page.keyboard.press("Control+B");
  await editor.status(/^\s*Astral\s*$/, 2 * MINUTES);
  await editor.goTo(44, 37);
  await editor.page.locator(".squiggly-hint").first().waitFor({ timeout: 2 * MINUTES });

  for (const name of wanted.split(",")) await pictures[name](editor);
} catch (error) {
  await editor.screenshot(join(target, "failure.png")).catch(() => undefined);
  throw error;
} finally {
  await editor.close();
  rmSync(home, { recursive: true, force: true });
}
