// From what is known of the server to what the status bar says. Pure.

/** Parameters of the notification `astral/status`. */
export interface ServerStatus {
  state: string;
  message?: string;
  trusted?: boolean;
  /** Candidates of running fills that passed. */
  verified?: number;
  version?: string;
}

export interface StatusView {
  /** Text with codicons. */
  text: string;
  tooltip: string;
  severity: "normal" | "warning" | "error";
}

const NAME = "Astral";

const SERVER: Record<string, [icon: string, words: string]> = {
  starting: ["$(loading~spin)", "starting"],
  loading: ["$(loading~spin)", "loading the model"],
  warming: ["$(loading~spin)", "warming up"],
  idle: ["$(sparkle)", ""],
  filling: ["$(loading~spin)", "filling"],
  untrusted: ["$(shield)", "restricted"],
  unavailable: ["$(warning)", "no model"],
  error: ["$(error)", "error"],
};

const SESSION: Record<string, [icon: string, words: string, severity: StatusView["severity"]]> = {
  stopped: ["$(circle-slash)", "stopped", "normal"],
  starting: ["$(loading~spin)", "starting", "normal"],
  missing: ["$(cloud-download)", "not installed", "warning"],
  failed: ["$(error)", "not running", "error"],
};

/** `session` is the client's own state; `status` the server's last word, meaningful while it runs. */
export function view(session: string, status: ServerStatus | undefined, error: string): StatusView {
  const off = SESSION[session];
  if (off) {
    const [icon, words, severity] = off;
    return { text: `${icon} ${NAME}: ${words}`, tooltip: error || `${NAME}: ${words}`, severity };
  }
  const said = status?.state ?? "idle";
  const state = said === "idle" && status?.trusted === false ? "untrusted" : said;
  const [icon, name] = SERVER[state] ?? ["$(sparkle)", state];
  const words = state === "filling" && status?.verified ? `${name}, ${status.verified} verified` : name;
  const title = words ? `${NAME}: ${words}` : NAME;
  const tooltip = status?.message ? `${title}\n${status.message}` : title;
  const severity = state === "error" ? "error" : state === "unavailable" ? "warning" : "normal";
  return { text: words ? `${icon} ${NAME}: ${words}` : `${icon} ${NAME}`, tooltip, severity };
}
