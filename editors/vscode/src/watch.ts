// Whether the server still answers while a person waits for it.

import * as vscode from "vscode";
import { ExecuteCommandRequest, type LanguageClient } from "vscode-languageclient/node";
import { TooLate, within } from "./core/limit";
import { SECTION } from "./environment";
import { COMMAND } from "./protocol";

/** What a person waits for is asked about so often, by a request that the server answers at once. */
const ASK_MS = 10_000;
const ANSWER_MS = 20_000;

/** What `work` comes to. Should the server stop answering meanwhile, the person is told, and may restart it. */
export async function watched<T>(client: LanguageClient, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const ask = async (): Promise<void> => {
    const status = client.sendRequest(ExecuteCommandRequest.type, { command: COMMAND.status, arguments: [{}] });
    try {
      await within(status, ANSWER_MS, "late");
      later();
    } catch (error) {
      if (error instanceof TooLate && timer) void tell();
    }
  };
  const later = (): void => {
    if (timer) timer = setTimeout(() => void ask(), ASK_MS);
  };
  timer = setTimeout(() => void ask(), ASK_MS);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
    timer = undefined;
  }
}

async function tell(): Promise<void> {
  const restart = "Restart Server";
  const words = `Astral: the server has not answered for ${ANSWER_MS / 1_000} s.`;
  const answer = await vscode.window.showWarningMessage(words, restart);
  if (answer === restart) await vscode.commands.executeCommand(`${SECTION}.restart`);
}
