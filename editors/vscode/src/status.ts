// The status bar item.

import * as vscode from "vscode";
import { view, type ServerStatus } from "./core/status";
import { SECTION } from "./environment";
import type { Session } from "./session";

const COLOURS = {
  normal: undefined,
  warning: new vscode.ThemeColor("statusBarItem.warningBackground"),
  error: new vscode.ThemeColor("statusBarItem.errorBackground"),
};

export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem(`${SECTION}.status`, vscode.StatusBarAlignment.Right, 90);
  private status: ServerStatus | undefined;
  private readonly parts: vscode.Disposable[] = [this.item];

  constructor(private readonly session: () => Session) {
    this.item.name = "Astral";
    this.item.command = `${SECTION}.showMenu`;
    this.parts.push(vscode.window.onDidChangeActiveTextEditor(() => this.draw()));
  }

  /** The server's last word. */
  get last(): ServerStatus | undefined {
    return this.status;
  }

  update(status: ServerStatus | undefined): void {
    this.status = status;
    this.draw();
  }

  draw(): void {
    const session = this.session();
    const { text, tooltip, severity } = view(session.state, this.status, session.error);
    this.item.text = text;
    this.item.tooltip = tooltip;
    this.item.backgroundColor = COLOURS[severity];
    const python = vscode.window.activeTextEditor?.document.languageId === "python";
    if (python || severity !== "normal") this.item.show();
    else this.item.hide();
  }

  dispose(): void {
    for (const part of this.parts) part.dispose();
  }
}
