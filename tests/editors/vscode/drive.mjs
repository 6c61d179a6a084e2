// Starts code-server (real VS Code) with the packaged extension and drives it in headless Chromium.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
export const ROOT = join(HERE, "..", "..", "..");
const VSIX = join(ROOT, "editors", "vscode", "astral-lsp.vsix");

const USER_SETTINGS = {
  "telemetry.telemetryLevel": "off",
  "workbench.startupEditor": "none",
  "workbench.enableExperiments": false,
  "workbench.tips.enabled": false,
  "workbench.reduceMotion": "on", // animations in software rendering would keep a core busy
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "workbench.colorTheme": "Default Dark Modern",
  "extensions.autoUpdate": false,
  "extensions.autoCheckUpdates": false,
  "extensions.ignoreRecommendations": true,
  "update.mode": "none",
  "git.enabled": false,
  "window.commandCenter": false,
  "editor.minimap.enabled": false,
  "editor.cursorBlinking": "solid",
  "files.autoSave": "off",
};

function environment() {
  const home = process.env.ASTRAL_VSCODE_ENV;
  if (!home) throw new Error("ASTRAL_VSCODE_ENV is not set: run tests/editors/vscode/setup.sh DIRECTORY first");
  const require = createRequire(join(home, "driver", "package.json"));
  return {
    home,
    server: join(home, "code-server", "out", "node", "entry.js"),
    chromium: readFileSync(join(home, "chromium.path"), "utf8").trim(),
    playwright: require("playwright-core"),
  };
}

async function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

async function until(what, check, timeoutMs = 90_000, everyMs = 100) {
  const limit = Date.now() + timeoutMs;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() > limit) throw new Error(`timed out after ${timeoutMs} ms waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/**
 * One VS Code window on one folder.
 * options: folder, workspace (a .code-workspace file instead of the folder alone), settings (user settings), trust ("on": VS Code asks; "off": every folder is trusted),
 * viewport {width, height}, scale.
 */
export class Editor {
  static async open(options) {
    const editor = new Editor();
    try {
      await editor.#start(options);
    } catch (error) {
      await editor.close();
      throw error;
    }
    return editor;
  }

  async #start({ folder, workspace, settings = {}, trust = "off", viewport = { width: 1200, height: 760 }, scale = 1, env = {} }) {
    const { server, chromium, playwright } = environment();
    this.home = mkdtempSync(join(tmpdir(), "astral-vscode-"));
    this.folder = folder;
    const data = join(this.home, "data");
    const extensions = join(this.home, "extensions");
    mkdirSync(join(data, "User"), { recursive: true });
    const all = { ...USER_SETTINGS, "security.workspace.trust.enabled": trust === "on", ...settings };
    writeFileSync(join(data, "User", "settings.json"), JSON.stringify(all, null, 2));
    const dirs = ["--user-data-dir", data, "--extensions-dir", extensions];
    const installed = spawnSync(process.execPath, [server, ...dirs, "--install-extension", VSIX], { encoding: "utf8" });
    if (installed.status !== 0) throw new Error(`the extension was not installed: ${installed.stdout}${installed.stderr}`);

    const port = await freePort();
    const quiet = ["--auth", "none", "--disable-telemetry", "--disable-update-check", "--disable-getting-started-override"];
    this.process = spawn(process.execPath, [server, ...quiet, ...dirs, "--bind-addr", `127.0.0.1:${port}`], {
      env: { ...process.env, VSCODE_CLI: "", ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true, // its own process group, so that all of it can be stopped
    });
    this.said = "";
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on("data", (text) => (this.said += text));
    await until("code-server", () => /HTTP server listening/.test(this.said));

    // --disable-dev-shm-usage: containers have a small /dev/shm
    const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
    this.browser = await playwright.chromium.launch({ executablePath: chromium, args });
    const context = await this.browser.newContext({ viewport, deviceScaleFactor: scale });
    context.setDefaultTimeout(90_000); // a busy machine is slow, and only a failure waits for it
    this.page = await context.newPage();
    const what = workspace ? `workspace=${encodeURIComponent(workspace)}` : `folder=${encodeURIComponent(folder)}`;
    await this.page.goto(`http://127.0.0.1:${port}/?${what}`);
    await this.page.waitForSelector(".monaco-workbench .part.statusbar");
  }

  async close() {
    await this.browser?.close().catch(() => undefined);
    if (this.process?.pid && this.process.exitCode === null) {
      const gone = new Promise((resolve) => this.process.once("exit", resolve));
      process.kill(-this.process.pid, "SIGTERM");
      await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 5_000))]);
      try {
        process.kill(-this.process.pid, "SIGKILL");
      } catch {
        // all of the group is gone
      }
    }
    if (this.home && existsSync(this.home)) rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Types into quick input after `key` opened it; tries again when a change of focus closed it meanwhile. */
  async #quickInput(key, text, rowText) {
    const input = this.page.locator(".quick-input-widget input.input");
    const row = this.page.locator(".quick-input-list .monaco-list-row.focused").filter({ hasText: rowText });
    for (let attempt = 1; ; attempt++) {
      try {
        await this.page.keyboard.press(key);
        await input.fill(text, { timeout: 15_000 });
        await row.waitFor({ state: "visible", timeout: 15_000 });
        if (!(await input.evaluate((element) => element === document.activeElement))) throw new Error("focus moved");
        await this.page.keyboard.press("Enter");
        return;
      } catch (error) {
        if (attempt === 4) throw error;
        // in the editor, Escape would take the selection away that the command is meant for
        if (await input.isVisible()) await this.page.keyboard.press("Escape");
      }
    }
  }

  /** Runs a command of the palette by its full title. */
  async command(title) {
    await this.#quickInput("F1", `>${title}`, title);
  }

  /** Opens a file of the folder through the explorer (quick open needs ripgrep) and waits for its text. */
  async openFile(path) {
    const names = path.split("/");
    const file = names.pop();
    const row = (name) => this.page.locator(`.explorer-folders-view .monaco-list-row[aria-label^="${name}"]`).first();
    for (const name of names) {
      if ((await row(name).getAttribute("aria-expanded")) !== "true") await row(name).click();
    }
    await row(file).dblclick();
    await this.page.locator(".tab.active").filter({ hasText: file }).waitFor();
    await this.page.locator(".editor-instance .view-lines").first().waitFor();
  }

  /** Opens a notebook of the folder and waits for its cells; until VS Code knows its type, it is opened as text. */
  async openNotebook(name) {
    const row = this.page.locator(`.explorer-folders-view .monaco-list-row[aria-label^="${name}"]`).first();
    const cells = this.page.locator(".notebookOverlay .cell .view-lines").first();
    for (let attempt = 1; ; attempt++) {
      await row.dblclick();
      await this.page.locator(".tab.active").filter({ hasText: name }).waitFor();
      try {
        return await cells.waitFor({ timeout: 10_000 });
      } catch (error) {
        if (attempt === 4) throw error;
        await this.command("View: Close All Editors");
      }
    }
  }

  /** Puts the cursor at a 1-based line and column. */
  async goTo(line, column) {
    await this.#quickInput("Control+G", `:${line}:${column}`, new RegExp(`\\b${line}\\b`));
    await this.page.locator(".statusbar-item").filter({ hasText: `Ln ${line}, Col ${column}` }).waitFor();
  }

  /** The entries of the open list, as text. */
  async rows() {
    return (await this.page.locator(".quick-input-list .monaco-list-row").allInnerTexts()).map((text) => text.replace(/\s+/g, " ").trim());
  }

  /** Text of the status bar item, once it matches. */
  async status(pattern, timeoutMs = 90_000) {
    const item = this.page.locator(".statusbar-item").filter({ hasText: "Astral" });
    return until(`a status bar item like ${pattern}`, async () => {
      const texts = await item.allInnerTexts();
      return texts.find((text) => pattern.test(text));
    }, timeoutMs);
  }

  /** Saves the active file and returns what is on disk. */
  async saved(name) {
    await this.page.keyboard.press("Control+S");
    await this.page.locator(".tab.active:not(.dirty)").first().waitFor();
    return readFileSync(join(this.folder, name), "utf8");
  }

  async notification(pattern, timeoutMs = 90_000) {
    const toasts = this.page.locator(".notification-list-item-message");
    return until(`a notification like ${pattern}`, async () => {
      return (await toasts.allInnerTexts()).find((text) => pattern.test(text));
    }, timeoutMs);
  }

  async screenshot(path, clip) {
    await this.page.screenshot({ path, ...(clip ? { clip } : {}) });
  }
}

export { until };
