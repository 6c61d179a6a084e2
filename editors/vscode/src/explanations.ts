// "Why were the others rejected?": the server's Markdown, as a virtual document in Markdown preview.

import * as vscode from "vscode";

const SCHEME = "astral-explanation";

export class Explanations implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;
  private readonly registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  private readonly uri = vscode.Uri.from({ scheme: SCHEME, path: "/Rejected candidates.md" });
  private text = "";

  async show(text: string): Promise<void> {
    this.text = text;
    this.changed.fire(this.uri);
    try {
      await vscode.commands.executeCommand("markdown.showPreviewToSide", this.uri);
    } catch {
      // the built-in Markdown extension may be switched off
      const document = await vscode.workspace.openTextDocument(this.uri);
      await vscode.window.showTextDocument(document, vscode.ViewColumn.Beside);
    }
  }

  provideTextDocumentContent(): string {
    return this.text;
  }

  dispose(): void {
    this.registration.dispose();
    this.changed.dispose();
  }
}
