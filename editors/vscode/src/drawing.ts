// One run of `astral.fillHole`: what it has found so far, and what it comes to.

import * as vscode from "vscode";
import { ExecuteCommandRequest, type LanguageClient } from "vscode-languageclient/node";
import { refused } from "./core/candidates";
import { COMMAND, isFills, type Fills, type Target } from "./protocol";

const FILLS = "astral/fills";

export class Drawing implements vscode.Disposable {
  /** What there is so far. */
  latest: Fills | undefined;
  /** Nothing more will come. */
  over = false;
  /** Resolves when there is something to choose from, or nothing more to hope for; rejects when the run fails first. */
  readonly ready: Promise<Fills>;
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private readonly stop = new vscode.CancellationTokenSource();
  private settle: (found: Fills) => void = () => undefined;
  private fail: (error: unknown) => void = () => undefined;

  constructor(
    client: LanguageClient,
    where: Target,
    /** The run's name in `astral/fills`. */
    readonly name: string,
    /** Of the progress that is shown. */
    workDoneToken: string,
    private readonly ended: (drawing: Drawing) => void,
  ) {
    this.ready = new Promise((resolve, reject) => {
      this.settle = resolve;
      this.fail = reject;
    });
    this.ready.catch(() => undefined); // a run that is left early fails with nobody waiting
    const argument = { ...where, apply: false, patient: true, partial: name };
    const params = { command: COMMAND.fillHole, arguments: [argument], workDoneToken };
    void client.sendRequest(ExecuteCommandRequest.type, params, this.stop.token).then(
      (answer) => this.finish(answer),
      (error: unknown) => this.finish(undefined, error),
    );
  }

  update(found: Fills): void {
    if (this.over) return;
    this.latest = found;
    if (found.fills.some((fill) => !refused(fill))) this.settle(found);
    this.changed.fire();
  }

  private finish(answer: unknown, error?: unknown): void {
    if (this.over) return;
    this.over = true;
    this.ended(this);
    if (isFills(answer)) {
      this.latest = answer;
      this.settle(answer);
    } else {
      this.fail(error ?? new Error("the server's answer is not a list of fills"));
    }
    this.changed.fire();
  }

  /** Nobody needs the rest: what is still drawn is cancelled. */
  dispose(): void {
    if (!this.over) {
      this.over = true;
      this.ended(this);
      this.stop.cancel();
    }
    this.changed.dispose();
  }
}

/** The runs under way, by name: the server's news find theirs. */
export class Drawings {
  private readonly running = new Map<string, Drawing>();
  private count = 0;

  begin(client: LanguageClient, where: Target, workDoneToken: string): Drawing {
    const name = `list ${++this.count}`;
    const drawing = new Drawing(client, where, name, workDoneToken, ({ name: gone }) => this.running.delete(gone));
    this.running.set(name, drawing);
    return drawing;
  }

  listen(client: LanguageClient): void {
    client.onNotification(FILLS, (news: Fills & { partial: string }) => {
      if (isFills(news)) this.running.get(news.partial)?.update(news);
    });
  }
}
