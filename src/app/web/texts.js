// @ts-check
/** The texts that the page shows besides those in index.html. */
import { StreamError } from "./client.js";

/** @typedef {import("./client.js").State} State */
/** @typedef {import("./client.js").Failure} Failure */

/** @type {Record<State | "locked", string>} */
export const STATES = {
  connecting: "Connecting",
  live: "Live",
  "in-steps": "Reading in steps",
  stalled: "Interrupted",
  reconnecting: "Reconnecting",
  "taken-over": "Taken over",
  crowded: "Waiting for a connection",
  paused: "Paused",
  finished: "Finished",
  cancelled: "Stopped",
  failed: "Failed",
  lost: "Not available",
  locked: "Access needed",
};

/** @type {Partial<Record<State | "locked", string>>} */
export const HINTS = {
  "in-steps": "a proxy holds the answer back",
  stalled: "no word from the server",
  reconnecting: "nothing is lost",
  "taken-over": "the answer continues",
  crowded: "other tabs use all of them: close or hide one",
  paused: "until this tab is shown",
};

const FOR_THE_OPERATOR = "Please tell the person who runs this page.";

/**
 * Messages to the reader about failures that only the operator can repair, by their codes. The
 * server's message, which addresses the operator, is in the journal.
 * @type {Record<string, string>}
 */
export const FAILURES = {
  key_unreadable: `The key to the model is missing. ${FOR_THE_OPERATOR}`,
  model_access_denied: `The model is not open to this page. ${FOR_THE_OPERATOR}`,
  provider_denied: `The model refused our key. ${FOR_THE_OPERATOR}`,
  provider_incompatible: `The model's service does not stream answers. ${FOR_THE_OPERATOR}`,
  provider_rejected: `The model's service refused this request. ${FOR_THE_OPERATOR}`,
  provider_unreachable: `The model's service cannot be reached. Try again in a minute.`,
  quota_exhausted: `The quota of the model is used up. ${FOR_THE_OPERATOR}`,
  unknown_model: `The configured name of the model is wrong. ${FOR_THE_OPERATOR}`,
  log_refused: `The store of the answers cannot be used. ${FOR_THE_OPERATOR}`,
  secret_refused: `The access tokens cannot be read. ${FOR_THE_OPERATOR}`,
};

/**
 * The same for prompts that cannot be sent as the next turn.
 * @type {Record<string, string>}
 */
export const NOT_SENT = {
  still_streaming: "The answer before is still being written. Wait for its end, or stop it.",
  conversation_too_long:
    "This conversation has become too long. Begin a new one, or edit an earlier prompt.",
  stream_not_found: "The turn before has expired, or another user owns it. Continue the last turn.",
  no_conversation: "This conversation cannot be continued: its agent takes no conversation.",
};

export const LOST = "There is no such conversation: it has expired, or the address is wrong.";

export const EXPIRED =
  "This conversation has expired on the server. This browser still has its prompts, which you can send again.";

/**
 * How a new attempt continues the answer: the model receives the text as the beginning of its own
 * turn, or is asked for the rest, or there was no text yet, or the steps that have ended are not
 * repeated.
 * @type {Record<string, string>}
 */
export const CONTINUED = {
  prefill: "at the last character",
  asked: "asked to continue",
  restarted: "from the start",
  replayed: "behind the steps that have ended",
};

/** @type {Record<string, string>} */
export const ENDINGS = { length: "cut at the longest answer allowed (max_tokens)" };

/**
 * The state of a tool call; one that runs when the stream ends will not finish.
 * @type {Record<"running" | "done" | "failed" | "unfinished", string>}
 */
export const TOOL_STATES = {
  running: "Running",
  done: "Done",
  failed: "Failed",
  unfinished: "Not finished",
};

/** @param {number} ms */
export const seconds = (ms, digits = 1) => `${(ms / 1000).toFixed(digits)} s`;

/** @param {number} count */
export const inWords = (count) => `${count.toLocaleString("en")} ${count === 1 ? "word" : "words"}`;

/** @param {number} done @param {number | null} total null if it is unknown */
export const ofTotal = (done, total) =>
  [done, total]
    .flatMap((count) => count?.toLocaleString("en", { maximumFractionDigits: 2 }) ?? [])
    .join(" of ");

/** @param {number} times */
export const startedOver = (times) =>
  times === 1 ? "The answer has started over." : `The answer has started over ${times} times.`;

/** The message for a failure, with the time from which a retry may work. @param {Failure} failure */
export function inFull(failure) {
  if (!(failure instanceof StreamError && failure.status === 429 && failure.retryAfter)) {
    return FAILURES[failure.code] ?? failure.message;
  }
  const at = new Date(Date.now() + failure.retryAfter * 1000).toLocaleTimeString();
  return `${failure.message} Possible again at ${at}.`;
}
