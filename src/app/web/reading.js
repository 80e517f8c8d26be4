// @ts-check
/** The reading of one stream: each of its events, told to the turn and to the figures below it. */
import { announcer } from "./announcer.js";
import { LLMStream } from "./client.js";
import { Connection } from "./connection.js";
import { api, ui } from "./elements.js";
import { slice } from "./frames.js";
import { Journal } from "./journal.js";
import { Meter } from "./meter.js";
import { StateLine } from "./state.js";
import { Strip } from "./strip.js";
import { ENDINGS, FAILURES, inFull, inWords, seconds, startedOver, STATES } from "./texts.js";

/** @typedef {import("./client.js").Part} Part */
/** @typedef {import("./client.js").State} State */
/** @typedef {import("./client.js").Usage} Usage */
/** @typedef {import("./client.js").Failure} Failure */

const SILENT_MS = 5_000;

/** The position of an event in its stream, counted from 0. @param {string} eventId */
export const seqOf = (eventId) => Number(eventId.split(":")[1]);

/**
 * The parts of the page that a reading uses, and its callbacks.
 * @typedef {{
 *   frames: import("./frames.js").Frames,
 *   follower: import("./follower.js").Follower,
 *   rested: () => void,
 *   locked: (reading: Reading) => void,
 *   again: (failure: Failure) => import("./turn.js").Action[],
 * }} Page
 */

export class Reading {
  /** @type {LLMStream | undefined} */
  stream;
  running = true;
  /** True once the reader has stopped it. */
  stopping = false;
  turn;
  #page;
  #seq = -1;
  #replayUntil = -1;
  #attempt = 1;
  #saidAt = performance.now();
  #answerBegun = false;
  #state = new StateLine();
  #strip = new Strip();
  #meter;
  #journal;
  #connection;

  /** @param {Page} page @param {import("./turn.js").TurnView} turn @param {boolean} fromSend */
  constructor(page, turn, fromSend) {
    this.#page = page;
    this.turn = turn;
    this.#meter = new Meter(fromSend);
    this.#meter.showFirstToken(history.state?.firstTokenMs);
    this.#journal = new Journal(() =>
      this.#replaying ? "earlier" : seconds(this.#meter.elapsedMs),
    );
    this.#connection = new Connection(this.#state, this.#journal, {
      seq: () => this.#seq,
      isOld: () => this.#replaying,
      say: (text, about) => this.#say(text, about),
      interrupted: () => this.#interrupted(),
    });
    ui.events.textContent = "0";
    ui.connection.hidden = false;
    turn.element.append(ui.connection);
    turn.showRunning(true);
    this.#state.show("connecting");
  }

  /**
   * @param {string} id @param {import("./client.js").Options} credentials
   * @param {number} [replayUntil] events up to this position are not announced
   */
  follow(id, credentials, replayUntil = -1) {
    this.#replayUntil = replayUntil;
    const stream = new LLMStream(id, { ...api, ...credentials });
    this.stream = stream;
    stream.addEventListener("event", ({ detail }) => this.#count(detail.kind, detail.lastEventId));
    stream.addEventListener("event", ({ detail }) => this.#tell(detail.part, detail.data.text));
    stream.addEventListener("state", ({ detail }) => this.#enter(detail.state, detail.failure));
    stream.addEventListener("start", ({ data }) =>
      this.#journal.note(`The log begins (${data.model})`),
    );
    stream.addEventListener("claim", ({ data }) => this.#claimed(data));
    stream.addEventListener("handoff", () => this.#journal.handedOver());
    stream.addEventListener("reset", ({ data }) => this.#startOver(data.step));
    stream.addEventListener("step", ({ data }) => this.#journal.stepBegun(data));
    stream.addEventListener("step_end", ({ data }) => this.#stepEnded(data));
    stream.addEventListener("done", ({ data }) => this.#done(data));
  }

  close() {
    this.running = false;
    this.#state.close();
    this.stream?.close();
  }

  /**
   * Ends without a stream, or because the server refuses it.
   * @param {Failure} failure @param {State} [state]
   * @param {string} [words] for the reader, instead of the server's message
   */
  fail(failure, state = "failed", words) {
    if (failure.code === "unauthorized") this.#lock();
    else this.#finish(state, failure, words);
  }

  /** Shows the events that have arrived since the last flush, and the rest in the next frame. */
  flush() {
    if (!this.turn.flush(slice())) this.#page.frames.request();
    this.#strip.flush();
    ui.events.textContent = (this.#seq + 1).toLocaleString("en");
    this.#page.follower.grown();
  }

  /** Explains why the next prompt is not sent yet. */
  refuse() {
    this.#state.refuse();
  }

  tick() {
    if (!this.running) return;
    const silence = performance.now() - this.#saidAt;
    const silent = silence >= SILENT_MS;
    if (silent) this.#meter.hideRate();
    else this.#meter.showRate();
    this.#state.explain(silent ? `${this.#awaited()}, ${seconds(silence, 0)}` : "");
  }

  /** Why there is no news. */
  #awaited() {
    const call = this.stream?.parts.find((part) => "state" in part && part.state === "running");
    return call && "name" in call ? `${call.name} is running` : "the model is silent";
  }

  // Handling events

  get #replaying() {
    return this.#seq >= 0 && this.#seq <= this.#replayUntil;
  }

  /** @param {string} kind @param {string} lastEventId */
  #count(kind, lastEventId) {
    this.#seq = seqOf(lastEventId);
    this.#strip.add(kind);
    this.#page.frames.request();
  }

  /** @param {Part | undefined} part new or changed @param {string} text new, if the part is text */
  #tell(part, text) {
    if (!part) return;
    this.#saidAt = performance.now();
    if (part.kind !== "thinking" && part.kind !== "answer") return this.turn.parts.change(part);
    if (part.kind === "answer" && !this.#answerBegun) this.#say("Answer started.");
    this.#answerBegun ||= part.kind === "answer";
    const words = this.turn.parts.add(part, text);
    if (!this.#replaying) this.#meter.add(words);
  }

  /** @param {string} [step] only this one */
  #startOver(step) {
    const { parts = [], restarts = 0 } = this.stream ?? {};
    this.turn.parts.keep(parts);
    if (step) return this.#journal.ofStep(step, "starts over");
    this.#journal.note("The answer starts over");
    this.#say("The answer starts over.");
    this.turn.showNotice("restarted", startedOver(restarts));
  }

  /** @param {{failed: boolean, step: string}} end */
  #stepEnded({ failed, step }) {
    if (failed) this.#journal.ofStep(step, "failed");
  }

  /** @param {{attempt: number, continued: string}} claim */
  #claimed(claim) {
    this.#attempt = claim.attempt;
    const what = this.#journal.claimed(claim);
    if (what) this.turn.showNotice("taken-over", `${what}.`);
  }

  /** @param {{finish_reason: string, usage: Usage}} end */
  #done({ finish_reason, usage }) {
    // A later writer counts only its own tokens, and a tab that opened later missed their start.
    const tokens = usage.output_tokens;
    if (tokens !== null && this.#meter.fromSend && this.#attempt === 1) {
      this.#meter.showTokenRate(tokens);
    }
    this.turn.showSummary(summaryOf({ finish_reason, usage }));
  }

  // Handling states

  /** @param {State} state @param {Failure} [failure] */
  #enter(state, failure) {
    if (this.#connection.enter(state)) return;
    if (failure?.code === "unauthorized") this.#lock();
    else this.#finish(state, failure);
  }

  #interrupted() {
    this.#strip.add("gap");
    this.#page.frames.request();
  }

  /** Stops until the person enters an access token. */
  #lock() {
    this.#rest("locked");
    this.#journal.note("The page asks for an access token");
    this.#page.locked(this);
  }

  /** @param {State} state @param {Failure} [failure] @param {string} [words] */
  #finish(state, failure, words) {
    if (state !== "finished") this.#meter.showRate();
    this.#rest(state);
    this.turn.isComplete = state !== "lost" && this.stream !== undefined;
    this.#journal.note(`${STATES[state]}, after ${this.#seq + 1} events`);
    if (failure && (words || failure.code in FAILURES)) {
      this.#journal.note(`The server says: ${failure.message}`);
    }
    if (state === "cancelled") this.turn.showSummary(STATES.cancelled);
    this.turn.hideError(); // Of a stop that failed.
    if (failure) this.turn.showError(words ?? inFull(failure), this.#page.again(failure));
    else this.#say(`${STATES[state]}. The answer has ${inWords(this.turn.parts.words("answer"))}.`);
  }

  /** @param {State | "locked"} state */
  #rest(state) {
    this.running = false;
    this.#state.show(state);
    this.turn.showRunning(false);
    this.#page.frames.request();
    this.#page.rested();
  }

  /** @param {string} text @param {"answer" | "connection"} [about] */
  #say(text, about) {
    if (!this.#replaying) announcer.say(text, about);
  }
}

/**
 * How an answer has ended.
 * @param {{status?: string, finish_reason: string | null, usage: Usage | null}} end
 */
export function summaryOf({ status, finish_reason: reason, usage }) {
  if (status === "cancelled") return STATES.cancelled;
  if (status === "error") return STATES.failed;
  const tokens = usage?.output_tokens;
  const counted = tokens == null ? "" : `${tokens.toLocaleString("en")} tokens`;
  return [counted, ENDINGS[reason ?? ""]].filter(Boolean).join(", ");
}
