// How far a run is, in sight of the person who waits for it, with a button that cancels it.
//
// The client library shows the server's own progress in the status bar only, without the button.

import * as vscode from "vscode";
import { WorkDoneProgress, WorkDoneProgressCancelNotification, type LanguageClient } from "vscode-languageclient/node";
import { whenSlow } from "./core/limit";

/** What is over sooner shows nothing. */
const MOMENT_MS = 700;

let count = 0;

/** What `start` comes to; it sends a request under the token of a progress that is shown while it takes long. */
export async function withBar<T>(client: LanguageClient, start: (token: string) => Promise<T>): Promise<T> {
  const token = `bar ${++count}`;
  let title = "Working";
  let said: string | undefined;
  let show: (() => void) | undefined;
  const listening = client.onProgress(WorkDoneProgress.type, token, (news) => {
    if (news.kind === "begin") title = news.title;
    if (news.kind !== "end" && news.message) said = news.message;
    show?.();
  });
  const work = start(token);
  const open = (): void => {
    const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
    void vscode.window.withProgress(options, (progress, cancel) => {
      show = () => said && progress.report({ message: said });
      show();
      cancel.onCancellationRequested(() => client.sendNotification(WorkDoneProgressCancelNotification.type, { token }));
      return work.then(() => undefined, () => undefined);
    });
  };
  try {
    return await whenSlow(work, MOMENT_MS, open);
  } finally {
    listening.dispose();
  }
}
