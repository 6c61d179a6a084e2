// Choosing a fill: a list whose active entry is shown in a diff editor (or as ghost text) before it is accepted.

import * as vscode from "vscode";
import { oneLine, row, type Judged } from "./core/candidates";
import { within } from "./core/limit";
import { replaced, type Replacement } from "./core/text";

export type PreviewMode = "diff" | "inline" | "off";

export interface Candidate extends Judged {
  /** What accepting it does to the document. */
  replacements: Replacement[];
}

interface Shown {
  show(candidate: Candidate): Promise<void>;
  /** Puts the windows back as they were. */
  close(): Promise<void>;
}

const SCHEME = "astral-fill";

/** The right-hand side of the diff: the document with the active candidate in it. */
export class FilledDocument implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;
  private readonly registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  private text = "";

  /** Same path as the document, so that the language and the icon are the same. */
  uriOf(document: vscode.TextDocument): vscode.Uri {
    return document.uri.with({ scheme: SCHEME, query: document.uri.scheme });
  }

  set(uri: vscode.Uri, text: string): void {
    this.text = text;
    this.changed.fire(uri);
  }

  provideTextDocumentContent(): string {
    return this.text;
  }

  dispose(): void {
    this.registration.dispose();
    this.changed.dispose();
  }
}

class DiffPreview implements Shown {
  private opening: Thenable<unknown> | undefined;
  private readonly selections: readonly vscode.Selection[];

  constructor(
    private readonly editor: vscode.TextEditor,
    private readonly range: vscode.Range,
    private readonly filled: FilledDocument,
  ) {
    this.selections = editor.selections;
  }

  async show(candidate: Candidate): Promise<void> {
    const { document } = this.editor;
    const right = this.filled.uriOf(document);
    this.filled.set(right, replaced(document.getText(), candidate.replacements));
    if (this.opening) return;
    const name = vscode.workspace.asRelativePath(document.uri);
    const options: vscode.TextDocumentShowOptions = {
      preserveFocus: true,
      preview: false, // a preview tab could take the place of the document's own and so close the document
      selection: new vscode.Range(this.range.start, this.range.start),
      ...(this.editor.viewColumn === undefined ? {} : { viewColumn: this.editor.viewColumn }),
    };
    const title = `${name}: the hole and its fill`;
    this.opening = vscode.commands.executeCommand("vscode.diff", document.uri, right, title, options);
    await this.opening;
    await makeRoom(right, this.range);
  }

  async close(): Promise<void> {
    if (!this.opening) return;
    await within(this.opening, OPENING_MS, "late").catch(() => undefined); // a person may be faster than the diff editor
    const ours = await openedTabs();
    if (ours.length > 0) await vscode.window.tabGroups.close(ours, true);
    const { document, viewColumn } = this.editor;
    const place = viewColumn === undefined ? {} : { viewColumn };
    const [selection] = this.selections;
    const back = await vscode.window.showTextDocument(document, { ...(selection ? { selection } : {}), ...place });
    if (this.selections.length > 1) back.selections = this.selections;
  }
}

/** How far down the window the hole is shown: the list covers the upper half. */
const HOLE_AT = 0.7;

async function makeRoom(right: vscode.Uri, hole: vscode.Range): Promise<void> {
  const editor = await visibleEditor(right);
  const [visible] = editor?.visibleRanges ?? [];
  if (!editor || !visible) return;
  const top = Math.max(0, hole.start.line - Math.floor((visible.end.line - visible.start.line) * HOLE_AT));
  editor.revealRange(new vscode.Range(top, 0, top, 0), vscode.TextEditorRevealType.AtTop);
}

// As with tabs, the extension host learns of an editor after the command that opened it has returned.
async function visibleEditor(uri: vscode.Uri): Promise<vscode.TextEditor | undefined> {
  const find = (): vscode.TextEditor | undefined =>
    vscode.window.visibleTextEditors.find(({ document }) => document.uri.toString() === uri.toString());
  if (find()) return find();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(late);
      listening.dispose();
      resolve(find());
    };
    const listening = vscode.window.onDidChangeVisibleTextEditors(() => find() && done());
    const late = setTimeout(done, TAB_WAIT_MS);
  });
}

const TAB_WAIT_MS = 2_000;
/** No fill waits longer for a diff editor that does not open. */
const OPENING_MS = 10_000;

// The extension host learns of a tab some time after the command that opened it has returned.
async function openedTabs(): Promise<vscode.Tab[]> {
  const find = (): vscode.Tab[] =>
    vscode.window.tabGroups.all
      .flatMap((group) => group.tabs)
      .filter(({ input }) => input instanceof vscode.TabInputTextDiff && input.modified.scheme === SCHEME);
  if (find().length > 0) return find();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(late);
      listening.dispose();
      resolve(find());
    };
    const listening = vscode.window.tabGroups.onDidChangeTabs(() => find().length > 0 && done());
    const late = setTimeout(done, TAB_WAIT_MS);
  });
}

// A decoration is one line high: further lines of a fill are counted, not shown.
class GhostPreview implements Shown {
  private readonly kind = vscode.window.createTextEditorDecorationType({
    textDecoration: "none; display: none", // hides the hole while its fill is shown
  });

  constructor(
    private readonly editor: vscode.TextEditor,
    private readonly range: vscode.Range,
  ) {}

  show(candidate: Candidate): Promise<void> {
    const before = {
      contentText: oneLine(candidate.text, 120),
      color: new vscode.ThemeColor("editorGhostText.foreground"),
      fontStyle: "italic",
    };
    this.editor.setDecorations(this.kind, [{ range: this.range, renderOptions: { before } }]);
    this.editor.revealRange(this.range, vscode.TextEditorRevealType.InCenterIfOutsideViewport);
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.kind.dispose();
    return Promise.resolve();
  }
}

const NOTHING: Shown = { show: () => Promise.resolve(), close: () => Promise.resolve() };

interface Item extends vscode.QuickPickItem {
  candidate: Candidate;
}

function item(candidate: Candidate, icons: vscode.Uri): Item {
  const { icon, label, description, detail } = row(candidate);
  return {
    label,
    description,
    ...(detail === undefined ? {} : { detail }),
    iconPath: vscode.Uri.joinPath(icons, `${icon}.svg`),
    candidate,
  };
}

/** Where candidates come from, while more of them may come. */
export interface Source {
  candidates(): Candidate[];
  /** Nothing more will come. */
  over(): boolean;
  onDidChange: vscode.Event<void>;
}

export interface Question {
  editor: vscode.TextEditor;
  /** What the fill replaces. */
  range: vscode.Range;
  title: string;
  source: Source;
  mode: PreviewMode;
  /** Directory of the verdict icons (list entries do not show a theme icon's colour). */
  icons: vscode.Uri;
}

export type Answer = { kind: "accept"; candidate: Candidate } | { kind: "refill" } | { kind: "explain" } | undefined;

const REFILL: vscode.QuickInputButton = { iconPath: new vscode.ThemeIcon("refresh"), tooltip: "Draw other candidates" };
const EXPLAIN: vscode.QuickInputButton = { iconPath: new vscode.ThemeIcon("info"), tooltip: "Explain rejected candidates" };

/** Lets the person choose; undefined when they leave. The document is not touched. */
export async function choose(question: Question, filled: FilledDocument): Promise<Answer> {
  const shown = preview(question, filled);
  try {
    return await ask(question, shown);
  } finally {
    await shown.close();
  }
}

function preview({ mode, editor, range }: Question, filled: FilledDocument): Shown {
  if (mode === "off") return NOTHING;
  // a notebook's cell has no editor of its own that a diff could give way to
  const cell = editor.document.uri.scheme === "vscode-notebook-cell";
  return mode === "diff" && !cell ? new DiffPreview(editor, range, filled) : new GhostPreview(editor, range);
}

const SETTLED_MS = 2_000;

function ask(question: Question, shown: Shown): Promise<Answer> {
  const { source, icons } = question;
  const pick = vscode.window.createQuickPick<Item>();
  pick.title = question.title;
  pick.matchOnDescription = true;
  pick.keepScrollPosition = true;
  // It opens when the first fill is there, perhaps just when the focus is on its way to the editor from somewhere
  // else: that must not close it before anybody has seen it. From then on it is a list like any other.
  pick.ignoreFocusOut = true;
  const settled = setTimeout(() => (pick.ignoreFocusOut = false), SETTLED_MS);
  const draw = (): void => {
    const [before] = pick.activeItems;
    pick.busy = !source.over();
    pick.placeholder = source.over()
      ? "Enter inserts the fill, Escape leaves the hole"
      : "Enter inserts the fill; more are being drawn and checked …";
    pick.buttons = source.over() ? [REFILL, EXPLAIN] : [EXPLAIN];
    pick.items = source.candidates().map((candidate) => item(candidate, icons));
    // what a person looks at stays under their Enter key, whatever comes in above it
    const same = pick.items.find(({ candidate }) => candidate.text === before?.candidate.text);
    if (same) pick.activeItems = [same];
  };
  draw();
  const listening = source.onDidChange(draw);
  return new Promise<Answer>((resolve) => {
    const done = (answer: Answer): void => {
      resolve(answer);
      clearTimeout(settled);
      listening.dispose();
      pick.dispose();
    };
    pick.onDidChangeActive(([active]) => {
      if (active) void shown.show(active.candidate);
    });
    pick.onDidAccept(() => {
      const [active] = pick.activeItems;
      if (active) done({ kind: "accept", candidate: active.candidate });
    });
    pick.onDidTriggerButton((button) => done({ kind: button === REFILL ? "refill" : "explain" }));
    pick.onDidHide(() => done(undefined));
    pick.show();
  });
}
