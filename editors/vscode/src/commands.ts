// What a person can ask for: each command talks to the server and shows what came of it.

import * as vscode from "vscode";
import {
  ErrorCodes,
  ExecuteCommandRequest,
  LSPErrorCodes,
  ResponseError,
  type LanguageClient,
  type Middleware,
} from "vscode-languageclient/node";
import { withBar } from "./bar";
import { oneLine } from "./core/candidates";
import { whenSlow } from "./core/limit";
import { Drawings, type Drawing } from "./drawing";
import { SECTION } from "./environment";
import type { Explanations } from "./explanations";
import { choose, type Candidate, type FilledDocument, type PreviewMode } from "./preview";
import { COMMAND, type Fills, type Target } from "./protocol";
import { watched } from "./watch";

interface Choice extends Candidate {
  argument: Target;
}

/** A type longer than this is cut in the list's title; the hover has all of it. */
const TITLE_WIDTH = 40;
/** Scheme of a notebook cell's document. */
const CELL = "vscode-notebook-cell";

type Work<T> = (client: LanguageClient, editor: vscode.TextEditor) => Promise<T>;

export class Commands {
  private readonly drawings = new Drawings();

  constructor(
    private readonly client: () => Promise<LanguageClient | undefined>,
    private readonly filled: FilledDocument,
    private readonly explanations: Explanations,
    /** Directory of the verdict icons. */
    private readonly icons: vscode.Uri,
  ) {}

  /** A "Fill" lens or action of the server opens the list here instead of inserting at once. */
  readonly middleware: Middleware = {
    executeCommand: (command, args, next) => {
      const where = (args[0] ?? {}) as Target;
      if (command === COMMAND.fillHole) return this.withEditor((client, editor) => this.fill(client, editor, where));
      if (command === COMMAND.explainRejected) return this.withEditor((client) => this.explain(client, where));
      return next(command, args);
    },
  };

  /** Called for every new client, before it starts. */
  listen(client: LanguageClient): void {
    this.drawings.listen(client);
  }

  register(context: vscode.ExtensionContext): void {
    const add = (name: string, work: Work<unknown>): void => {
      const run = (): Promise<unknown> => this.withEditor(work);
      context.subscriptions.push(vscode.commands.registerCommand(`${SECTION}.${name}`, run));
    };
    add("fillHole", (client, editor) => this.fill(client, editor, at(editor)));
    add("refillSelection", (client, editor) => this.fill(client, editor, selected(editor)));
    add("refineHole", (client, editor) => atOnce(client, COMMAND.refineHole, at(editor)));
    add("fillFunction", (client, editor) => askLong(client, COMMAND.fillFunction, at(editor)));
    const fillFile = (): Promise<unknown> => this.withFile((client, uri) => askLong(client, COMMAND.fillFile, { uri }));
    context.subscriptions.push(vscode.commands.registerCommand(`${SECTION}.fillFile`, fillFile));
    add("makeHole", (client, editor) => ask(client, COMMAND.makeHole, selected(editor)));
    add("explainRejected", (client, editor) => this.explain(client, at(editor)));
    add("nextHole", (client, editor) => step(client, editor, COMMAND.nextHole));
    add("previousHole", (client, editor) => step(client, editor, COMMAND.previousHole));
    add("listHoles", listHoles);
  }

  // Runs with the server and the active Python editor.
  private withEditor<T>(work: Work<T>): Promise<T | undefined> {
    const editor = vscode.window.activeTextEditor;
    return this.withServer(async (client) => {
      if (editor?.document.languageId === "python") return work(client, editor);
      return openPython();
    });
  }

  // Runs with the server and the URI of the active Python file, or of a notebook's first Python cell.
  private withFile<T>(work: (client: LanguageClient, uri: string) => Promise<T>): Promise<T | undefined> {
    const editor = vscode.window.activeTextEditor;
    const cells = vscode.window.activeNotebookEditor?.notebook.getCells() ?? [];
    const documents = [...(editor ? [editor.document] : []), ...cells.map(({ document }) => document)];
    const uri = documents.find(({ languageId }) => languageId === "python")?.uri.toString();
    return this.withServer(async (client) => (uri === undefined ? openPython() : work(client, uri)));
  }

  // Waits for the server, and shows what went wrong.
  private async withServer<T>(work: (client: LanguageClient) => Promise<T | undefined>): Promise<T | undefined> {
    const client = await patiently(this.client());
    if (!client) {
      const restart = "Restart Server";
      const answer = await vscode.window.showWarningMessage("The Astral server is not running.", restart);
      if (answer === restart) await vscode.commands.executeCommand(`${SECTION}.restart`);
      return undefined;
    }
    try {
      return await work(client);
    } catch (error) {
      if (await complain(error)) return this.withServer(work);
      return undefined;
    }
  }

  private async fill(client: LanguageClient, editor: vscode.TextEditor, where: Target): Promise<void> {
    let again = false;
    for (;;) {
      let drawing: Drawing | undefined;
      try {
        const found = await withBar(client, (token) => {
          drawing = this.drawings.begin(client, { ...where, again }, token);
          return watched(client, drawing.ready);
        });
        if (!drawing) return;
        if (found.fills.length === 0) {
          void vscode.window.showWarningMessage(`Astral: ${found.message || "no candidate was found."}`);
          return;
        }
        const answer = await this.show(client, editor, found, drawing);
        if (answer === undefined) return;
        if (answer.kind === "accept") {
          const applied = await atOnce(client, COMMAND.applyFill, (answer.candidate as Choice).argument);
          return putCursorBehind(client, editor.document, applied);
        }
        if (answer.kind === "explain") return await this.explain(client, found.fills[0]?.argument ?? where);
        again = true;
      } finally {
        drawing?.dispose();
      }
    }
  }

  private async explain(client: LanguageClient, where: Target): Promise<void> {
    const answer = await ask(client, COMMAND.explainRejected, { ...where, show: false });
    const text = (answer as { text?: unknown } | null)?.text;
    if (typeof text === "string") await this.explanations.show(text);
  }

  private async show(
    client: LanguageClient,
    editor: vscode.TextEditor,
    found: Fills,
    drawing: Drawing,
  ): ReturnType<typeof choose> {
    const { document } = editor;
    const range = client.protocol2CodeConverter.asRange(found.range);
    const newline = document.eol === vscode.EndOfLine.CRLF ? "\r\n" : "\n";
    const choices = (): Choice[] =>
      (drawing.latest ?? found).fills.map((fill) => ({
        ...fill,
        replacements: [{ start: range.start, end: range.end, text: fill.text.replace(/\r\n|\n/g, newline) }],
      }));
    const expected = found.expectedType ? `expected ${oneLine(found.expectedType, TITLE_WIDTH)}` : found.hole.kind;
    const mode = vscode.workspace.getConfiguration(SECTION, document.uri).get<PreviewMode>("preview", "diff");
    const source = { candidates: choices, over: () => drawing.over, onDidChange: drawing.onDidChange };
    return choose({ editor, range, title: `Fill hole: ${expected}`, source, mode, icons: this.icons }, this.filled);
  }
}

function openPython(): undefined {
  void vscode.window.showInformationMessage("Astral: open a Python file first.");
}

function uriOf(editor: vscode.TextEditor): string {
  return editor.document.uri.toString();
}

/** The hole at the cursor. */
function at(editor: vscode.TextEditor): Target {
  const { line, character } = editor.selection.active;
  return { uri: uriOf(editor), position: { line, character } };
}

/** The selection as a hole. */
function selected(editor: vscode.TextEditor): Target {
  const { start, end } = editor.selection;
  if (editor.selection.isEmpty) throw new Error("select an expression or whole statements first");
  const place = ({ line, character }: vscode.Position): object => ({ line, character });
  return { uri: uriOf(editor), range: { start: place(start), end: place(end) } };
}

async function ask(client: LanguageClient, command: string, argument: Target): Promise<unknown> {
  return watched(client, client.sendRequest(ExecuteCommandRequest.type, { command, arguments: [argument] }));
}

/** As `ask`, with a bar. */
function askLong(client: LanguageClient, command: string, argument: Target): Promise<unknown> {
  return withBar(client, (workDoneToken) => {
    const params = { command, arguments: [argument], workDoneToken };
    return watched(client, client.sendRequest(ExecuteCommandRequest.type, params));
  });
}

/** A start that takes longer is spoken of to a person who waits for it. */
const START_NEWS_MS = 1_000;

async function patiently(client: Promise<LanguageClient | undefined>): Promise<LanguageClient | undefined> {
  const progress = { location: vscode.ProgressLocation.Notification, title: "Astral: waiting for the server to start …" };
  return whenSlow(client, START_NEWS_MS, () => void vscode.window.withProgress(progress, () => client));
}

// The server finds the hole again in the present text and names the version; it says itself when that fails.
async function atOnce(client: LanguageClient, command: string, argument: Target): Promise<unknown> {
  try {
    return await ask(client, command, argument);
  } catch (error) {
    if (isGone(error)) throw error; // nobody is left to say it
    client.warn(`${command} changed nothing`, error, false);
    return undefined;
  }
}

// A cursor that was on the hole goes to the end of what is there now. Others are left alone.
function putCursorBehind(client: LanguageClient, document: vscode.TextDocument, applied: unknown): void {
  const { range } = (applied ?? {}) as { range?: Fills["range"] };
  const editor = vscode.window.activeTextEditor;
  if (!range || !editor || editor.document !== document) return;
  const { start, end } = client.protocol2CodeConverter.asRange(range);
  const [first, ...others] = editor.selections;
  if (!first || first.active.isBefore(start) || first.active.isAfter(end)) return;
  editor.selections = [new vscode.Selection(end, end), ...others];
  editor.revealRange(new vscode.Range(end, end));
}

/** A hole's place; in a notebook perhaps in another cell. */
interface Place {
  uri: vscode.Uri;
  range: vscode.Range;
}

function placeOf(client: LanguageClient, value: unknown): Place | undefined {
  const { uri, range } = (value ?? {}) as { uri?: unknown; range?: Fills["range"] };
  if (typeof uri !== "string" || !range) return undefined;
  return { uri: client.protocol2CodeConverter.asUri(uri), range: client.protocol2CodeConverter.asRange(range) };
}

function isIn(editor: vscode.TextEditor, { uri }: Place): boolean {
  return uri.toString() === editor.document.uri.toString();
}

async function step(client: LanguageClient, editor: vscode.TextEditor, command: string): Promise<void> {
  const place = placeOf(client, await ask(client, command, { ...at(editor), show: false }));
  if (!place) {
    const what = editor.document.uri.scheme === CELL ? "notebook" : "file";
    void vscode.window.setStatusBarMessage(`Astral: no hole in this ${what}`, 3_000);
    return;
  }
  await goTo(editor, place);
}

async function goTo(editor: vscode.TextEditor, place: Place): Promise<void> {
  if (isIn(editor, place)) return reveal(editor, place.range);
  const options: vscode.TextDocumentShowOptions = { selection: place.range };
  await vscode.commands.executeCommand("vscode.open", place.uri, options);
}

function reveal(editor: vscode.TextEditor, range: vscode.Range): void {
  editor.selection = new vscode.Selection(range.start, range.end);
  editor.revealRange(range, vscode.TextEditorRevealType.InCenterIfOutsideViewport);
}

interface HoleItem extends vscode.QuickPickItem {
  place: Place;
}

async function listHoles(client: LanguageClient, editor: vscode.TextEditor): Promise<void> {
  const holes = await ask(client, COMMAND.listHoles, { uri: uriOf(editor) });
  const items = (Array.isArray(holes) ? holes : []).flatMap((hole: Record<string, unknown>): HoleItem[] => {
    const place = placeOf(client, hole);
    const document = place && vscode.workspace.textDocuments.find(({ uri }) => uri.toString() === place.uri.toString());
    if (!document) return [];
    const detail = typeof hole["expectedType"] === "string" ? hole["expectedType"] : String(hole["kind"] ?? "");
    const { line } = place.range.start;
    const where = isIn(editor, place) ? "" : " of another cell";
    return [{ label: document.lineAt(line).text.trim(), description: `line ${line + 1}${where}`, detail, place }];
  });
  if (items.length === 0) {
    void vscode.window.showInformationMessage("Astral: there is no hole in this file.");
    return;
  }
  pickHole(editor, items);
}

// The editor follows the list, but for other cells of a notebook; leaving it goes back.
function pickHole(editor: vscode.TextEditor, items: HoleItem[]): void {
  const before = editor.selection;
  const pick = vscode.window.createQuickPick<HoleItem>();
  let accepted = false;
  pick.title = "Holes";
  pick.matchOnDetail = true;
  pick.items = items;
  pick.onDidChangeActive(([active]) => active && isIn(editor, active.place) && reveal(editor, active.place.range));
  pick.onDidAccept(() => {
    const [active] = pick.activeItems;
    accepted = true;
    pick.hide();
    if (active) void goTo(editor, active.place);
  });
  pick.onDidHide(() => {
    if (!accepted) editor.selection = before;
    pick.dispose();
  });
  pick.show();
}

/** The connection ended under a request, as it does when the server is restarted. */
const GONE: readonly number[] = [ErrorCodes.PendingResponseRejected, ErrorCodes.ConnectionInactive];
const SILENT: readonly number[] = [LSPErrorCodes.RequestCancelled, LSPErrorCodes.ServerCancelled];

function isGone(error: unknown): boolean {
  return error instanceof ResponseError && GONE.includes(error.code);
}

// Says what went wrong. A busy or loading server is worth another try: resolves to true when the person wants one.
async function complain(error: unknown): Promise<boolean> {
  const failed = error instanceof ResponseError;
  if (failed && SILENT.includes(error.code)) return false;
  const gone = isGone(error);
  const words = gone ? "the server ended before it had answered." : error instanceof Error ? error.message : String(error);
  const message = `Astral: ${words}`;
  const again = "Try Again";
  const choices = gone || (failed && error.code === LSPErrorCodes.RequestFailed) ? [again] : [];
  return (await vscode.window.showWarningMessage(message, ...choices)) === again;
}
