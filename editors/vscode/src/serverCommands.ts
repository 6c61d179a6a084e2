// Commands about the server itself, not about a hole.

import * as vscode from "vscode";
import { ExecuteCommandRequest, type LanguageClient } from "vscode-languageclient/node";
import { COMMAND } from "./protocol";

async function ask(client: LanguageClient, command: string): Promise<unknown> {
  return client.sendRequest(ExecuteCommandRequest.type, { command, arguments: [{}] });
}

/** Model, interpreter, mypy, pytest and sandbox, each with what is wrong with it. */
export async function doctor(client: LanguageClient): Promise<void> {
  const progress = { location: vscode.ProgressLocation.Notification, title: "Astral: checking the environment …" };
  const answer = await vscode.window.withProgress(progress, () => ask(client, COMMAND.doctor));
  const text = (answer as { text?: unknown } | null)?.text;
  if (typeof text !== "string") return;
  const document = await vscode.workspace.openTextDocument({ content: text, language: "plaintext" });
  await vscode.window.showTextDocument(document, { preview: true });
}

export async function loadModel(client: LanguageClient): Promise<void> {
  await ask(client, COMMAND.loadModel); // the server shows the progress
  void vscode.window.setStatusBarMessage("Astral: the model is loaded", 5_000);
}

export async function cancel(client: LanguageClient): Promise<void> {
  const answer = await ask(client, COMMAND.cancel);
  const stopped = (answer as { stopped?: unknown } | null)?.stopped;
  void vscode.window.setStatusBarMessage(stopped ? "Astral: cancelled" : "Astral: nothing is running", 5_000);
}
