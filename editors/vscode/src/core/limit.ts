// Waiting with an end: for what may never answer.

export class TooLate extends Error {}
export class GivenUp extends Error {}

/** What `work` comes to; a TooLate with `words` after `ms`, a GivenUp as soon as `signal` says so. The work itself goes on. */
export function within<T>(work: PromiseLike<T>, ms: number, words: string, signal?: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const late = setTimeout(() => end(() => reject(new TooLate(words))), ms);
    const onAbort = (): void => end(() => reject(new GivenUp("given up")));
    const end = (tell: () => void): void => {
      clearTimeout(late);
      signal?.removeEventListener("abort", onAbort);
      tell();
    };
    signal?.addEventListener("abort", onAbort);
    if (signal?.aborted) onAbort();
    work.then(
      (value) => end(() => resolve(value)),
      (error: unknown) => end(() => reject(error instanceof Error ? error : new Error(String(error)))),
    );
  });
}

/** Calls `act` when `work` is not done after `ms`. */
export async function whenSlow<T>(work: Promise<T>, ms: number, act: () => void): Promise<T> {
  const slow = setTimeout(act, ms);
  try {
    return await work;
  } finally {
    clearTimeout(slow);
  }
}
