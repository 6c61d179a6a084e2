import assert from "node:assert/strict";
import { test } from "node:test";
import { GivenUp, TooLate, whenSlow, within } from "../src/core/limit";

const never = new Promise<string>(() => undefined);
const soon = (value: string, ms: number): Promise<string> => new Promise((resolve) => setTimeout(resolve, ms, value));

test("work that is done in time is what it comes to", async () => {
  assert.equal(await within(soon("done", 1), 1_000, "late"), "done");
  await assert.rejects(within(Promise.reject(new Error("broken")), 1_000, "late"), /broken/);
});

test("work that never ends is told of after its time, or when somebody gives it up", async () => {
  await assert.rejects(within(never, 5, "it took too long"), (error) => error instanceof TooLate && error.message === "it took too long");
  const stop = new AbortController();
  const waiting = within(never, 60_000, "late", stop.signal);
  stop.abort();
  await assert.rejects(waiting, GivenUp);
  await assert.rejects(within(never, 60_000, "late", stop.signal), GivenUp);
});

test("only slow work is spoken of", async () => {
  let spoken = 0;
  assert.equal(await whenSlow(soon("a", 1), 500, () => spoken++), "a");
  assert.equal(spoken, 0);
  assert.equal(await whenSlow(soon("b", 60), 5, () => spoken++), "b");
  assert.equal(spoken, 1);
});
