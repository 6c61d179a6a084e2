// One server for the window: start, stop, restart, and what is known of it.

import { mkdir } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import * as vscode from "vscode";
import {
  CloseAction,
  DidChangeConfigurationNotification,
  ErrorAction,
  LanguageClient,
  RevealOutputChannelOn,
  State,
  type ConfigurationParams,
  type ErrorHandler,
  type LanguageClientOptions,
  type Middleware,
} from "vscode-languageclient/node";
import { GivenUp, within } from "./core/limit";
import type { ServerCommand } from "./core/locate";
import { directories, SECTION, serverFor, serverSettings, type Directories } from "./environment";

export type SessionState = "stopped" | "starting" | "running" | "missing" | "failed";

/** How often a server that dies is started again within three minutes. */
const MAX_RESTARTS = 3;
const RESTART_WINDOW_MS = 3 * 60_000;
/** A server that has not answered its first request by then will not: a busy machine takes a few seconds. */
const START_MS = 60_000;

export class Session implements vscode.Disposable {
  readonly places: Directories;
  private readonly changed = new vscode.EventEmitter<SessionState>();
  readonly onDidChange = this.changed.event;
  private current: LanguageClient | undefined;
  private found: ServerCommand | undefined;
  private currentState: SessionState = "stopped";
  private lastError = "";
  private queue: Promise<void> = Promise.resolve();
  /** What became of the last server that ended by itself. */
  private ended: Ending | undefined;
  /** Gives up waiting for a server that is starting. */
  private starting: AbortController | undefined;

  constructor(
    context: vscode.ExtensionContext,
    private readonly log: vscode.LogOutputChannel,
    private readonly trace: vscode.LogOutputChannel,
    private readonly middleware: Middleware,
    /** Called for every new client, before it starts. */
    private readonly prepare: (client: LanguageClient) => void,
  ) {
    this.places = directories(context);
  }

  get client(): LanguageClient | undefined {
    return this.currentState === "running" ? this.current : undefined;
  }

  /** The client once what was begun is done: a person who asks while the server starts does not have to ask again. */
  async ready(): Promise<LanguageClient | undefined> {
    for (let waited: Promise<void> | undefined; waited !== this.queue; ) await (waited = this.queue);
    return this.client;
  }

  get state(): SessionState {
    return this.currentState;
  }

  get server(): ServerCommand | undefined {
    return this.found;
  }

  /** One sentence: why the server is not running. */
  get error(): string {
    return this.lastError;
  }

  start(): Promise<void> {
    return this.inOrder(async () => {
      if (this.current === undefined) await this.startNow();
    });
  }

  restart(): Promise<void> {
    this.starting?.abort();
    return this.inOrder(async () => {
      await this.stopNow();
      await this.startNow();
    });
  }

  /** Settings, trust or the environment changed: another server is started, the same one is told. */
  refresh(): Promise<void> {
    return this.inOrder(async () => {
      const wanted = await this.locate();
      if (this.currentState === "running" && this.current && isDeepStrictEqual(wanted, this.found)) {
        // The server pulls its settings; this only wakes it.
        await this.current.sendNotification(DidChangeConfigurationNotification.type, { settings: null });
        return;
      }
      await this.stopNow();
      await this.startNow();
    });
  }

  stop(): Promise<void> {
    this.starting?.abort();
    return this.inOrder(() => this.stopNow());
  }

  dispose(): void {
    void this.stop();
    this.changed.dispose();
  }

  // Starts and stops never overlap, whatever the person clicks.
  private inOrder(work: () => Promise<void>): Promise<void> {
    const next = this.queue.then(work);
    this.queue = next.catch((error: unknown) => this.fail(error));
    return this.queue;
  }

  private async locate(): Promise<ServerCommand | undefined> {
    await mkdir(this.places.neutral, { recursive: true });
    return serverFor(vscode.workspace.workspaceFolders?.[0], this.places);
  }

  private async startNow(): Promise<void> {
    this.enter("starting");
    this.found = await this.locate();
    if (!this.found) {
      this.lastError = "astral-lsp is not installed in your Python environment.";
      this.enter("missing");
      return;
    }
    const { command, args, source, version } = this.found;
    this.log.info(`starting ${[command, ...args].join(" ")} (${source}${version ? `, ${version}` : ""})`);
    const executable = { command, args, options: { cwd: this.places.neutral } };
    this.ended = undefined;
    const client = new QuietClient(SECTION, "Astral", executable, await this.options());
    this.current = client;
    client.onDidChangeState(({ newState }) => {
      if (client === this.current) this.follow(newState);
    });
    this.prepare(client);
    this.starting = new AbortController();
    try {
      const words = `The server did not answer for ${START_MS / 1_000} s while it was starting.`;
      await within(client.start(), START_MS, words, this.starting.signal);
    } finally {
      this.starting = undefined;
    }
    this.lastError = "";
    this.enter("running");
  }

  private async stopNow(): Promise<void> {
    const client = this.current;
    this.current = undefined;
    if (client) {
      try {
        await client.dispose(3_000);
      } catch (error) {
        this.log.warn(`the server did not stop as asked: ${String(error)}`);
      }
    }
    this.enter("stopped");
  }

  private follow(state: State): void {
    const ended = this.ended;
    if (state === State.Running) {
      this.ended = undefined;
      this.enter("running");
    } else if (state === State.Stopped && ended) {
      // while it is started again this comes a second time only when that fails
      if (ended.again && this.currentState === "running") return this.enter("starting");
      this.lastError = ended.words;
      this.enter("failed");
    }
  }

  private fail(error: unknown): void {
    const broken = this.current;
    this.current = undefined;
    void broken?.dispose(1_000).catch(() => undefined); // a server that is still starting is ended too
    if (error instanceof GivenUp) return this.enter("stopped");
    this.lastError = this.ended?.words ?? (error instanceof Error ? error.message : String(error));
    this.log.error(this.lastError);
    this.enter("failed");
  }

  private enter(state: SessionState): void {
    if (state === this.currentState) return;
    this.currentState = state;
    void vscode.commands.executeCommand("setContext", `${SECTION}.running`, state === "running");
    this.changed.fire(state);
  }

  private async options(): Promise<LanguageClientOptions> {
    const schemes = ["file", "untitled", "vscode-notebook-cell"];
    return {
      documentSelector: schemes.map((scheme) => ({ scheme, language: "python" })),
      outputChannel: this.log,
      traceOutputChannel: this.trace,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      initializationOptions: { settings: await serverSettings(undefined), trusted: vscode.workspace.isTrusted },
      errorHandler: restartAFewTimes(this.log, () => this.currentState === "running", (ended) => (this.ended = ended)),
      middleware: { ...this.middleware, workspace: { ...this.middleware.workspace, configuration: answerConfiguration } },
      markdown: { supportHtml: false },
    };
  }
}

// The server asks for section "astral-lsp"; it must not see the extension's own settings.
async function answerConfiguration(params: ConfigurationParams): Promise<unknown[]> {
  return Promise.all(
    params.items.map(async ({ section, scopeUri }) => {
      const scope = scopeUri === undefined ? undefined : vscode.Uri.parse(scopeUri);
      if (section === SECTION) return serverSettings(scope);
      return vscode.workspace.getConfiguration(undefined, scope).get(section ?? "") ?? null;
    }),
  );
}

/** A server that ended by itself. */
interface Ending {
  /** One sentence for people. */
  words: string;
  /** It is being started again. */
  again: boolean;
}

/** Errors go to the log only: the session tells the person, once and in words of its own. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

function restartAFewTimes(
  log: vscode.LogOutputChannel,
  isRunning: () => boolean,
  onEnd: (ended: Ending) => void,
): ErrorHandler {
  const deaths: number[] = [];
  return {
    error: () => ({ action: ErrorAction.Continue }),
    closed: () => {
      const now = Date.now();
      if (!isRunning()) {
        onEnd({ words: "The server ended while it was starting.", again: false });
        return { action: CloseAction.DoNotRestart };
      }
      deaths.push(now);
      const recent = deaths.filter((when) => now - when < RESTART_WINDOW_MS).length;
      if (recent <= MAX_RESTARTS) {
        onEnd({ words: "The server stopped and did not start again.", again: true });
        return { action: CloseAction.Restart };
      }
      const message = `The server stopped ${recent} times in three minutes; it stays off until you restart it.`;
      log.error(message);
      onEnd({ words: message, again: false });
      return { action: CloseAction.DoNotRestart, message };
    },
  };
}
