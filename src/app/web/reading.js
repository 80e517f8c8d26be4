// @ts-check
/** One answer on the page: the events of its stream, and the display of each. */
import { LLMStream } from "./client.js";
import { api, showError, showRunning, ui } from "./elements.js";
import { Parts } from "./parts.js";
import {
  CONTINUED,
  ENDINGS,
  FAILURES,
  HINTS,
  inFull,
  inWords,
  seconds,
  startedOver,
  STATES,
} from "./texts.js";
import { announcer, Meter, Strip } from "./views.js";

/** @typedef {import("./client.js").Part} Part */
/** @typedef {import("./client.js").State} State */
/** @typedef {import("./client.js").Usage} Usage */
/** @typedef {import("./client.js").Failure} Failure */
/** @typedef {import("./client.js").StreamError} StreamError */

const TITLE = document.title;
const TAKEN_OVER_SHOWN_MS = 2_000;
const SILENT_MS = 5_000;
const REFUSAL_SHOWN_MS = 4_000;

/** The position of an event in its stream, counted from 0. @param {string} eventId */
export const seqOf = (eventId) => Number(eventId.split(":").at(-1));

/**
 * The parts of the page that a reading uses.
 * @typedef {{
 *   accessToken: import("./access.js").AccessToken,
 *   follower: import("./views.js").Follower,
 *   frames: import("./views.js").Frames,
 *   submit: (prompt: string) => void,
 *   route: () => void,
 * }} Page
 */

/** One stream on the page, until another takes its place. */
export class Reading {
  /** @type {LLMStream | undefined} */
  stream;
  stopRequested = false;
  running = true;
  #seq = -1;
  #replayUntil = -1;
  #attempt = 1;
  #handedOver = false;
  #interrupted = false; // since the last claim
  #apart = false; // now
  #inSteps = false;
  #saidAt = performance.now();
  #refusedAt = -Infinity;
  #answerBegun = false;
  /** @type {Map<string, string>} the names of the steps by their keys */
  #steps = new Map();
  #parts = new Parts();
  #strip = new Strip();
  #page;
  #meter;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #takenOverShown;

  /** @param {Page} page @param {string} prompt @param {boolean} fromSend */
  constructor(page, prompt, fromSend) {
    this.#page = page;
    this.prompt = prompt;
    this.#meter = new Meter(fromSend);
    this.#meter.showFirstToken(history.state?.firstTokenMs);
    document.title = prompt ? `${prompt.slice(0, 60)} – ${TITLE}` : TITLE;
    ui.question.textContent = prompt;
    ui.question.hidden = !prompt;
    ui.thoughts.hidden = ui.after.hidden = ui.error.hidden = ui.restarted.hidden = true;
    ui.summary.textContent = "";
    ui.events.textContent = "0";
    ui.journal.replaceChildren();
    this.#show("connecting");
    showRunning(true);
  }

  /**
   * @param {string} id @param {string | null} [token] the stream's own
   * @param {number} [replayUntil] events up to this position are not announced
   */
  follow(id, token = null, replayUntil = -1) {
    this.#replayUntil = replayUntil;
    const stream = new LLMStream(id, { ...api, ...this.#page.accessToken.credentials, token });
    this.stream = stream;
    stream.addEventListener("event", ({ detail }) => this.#count(detail.kind, detail.lastEventId));
    stream.addEventListener("event", ({ detail }) => this.#tell(detail.part, detail.data.text));
    stream.addEventListener("state", ({ detail }) => this.#enter(detail.state, detail.failure));
    stream.addEventListener("start", ({ data }) => this.#note(`The log begins (${data.model})`));
    stream.addEventListener("claim", ({ data }) => this.#claimed(data));
    stream.addEventListener("handoff", () => this.#handOver());
    stream.addEventListener("reset", ({ data }) => this.#startOver(data.step));
    stream.addEventListener("step", ({ data }) => this.#steps.set(data.step, data.name));
    stream.addEventListener("step_end", ({ data }) => this.#stepEnded(data));
    stream.addEventListener("done", ({ data }) => this.#done(data.finish_reason, data.usage));
  }

  close() {
    this.running = false;
    clearTimeout(this.#takenOverShown);
    this.stream?.close();
  }

  /** Ends without a stream. @param {StreamError} failure @param {() => void} again */
  fail(failure, again) {
    if (failure.code === "unauthorized") return this.#lock(again);
    ui.prompt.value ||= this.prompt;
    this.#finish("failed", failure, again);
  }

  /** Ends because the server refuses the stream. @param {StreamError} failure */
  lose(failure) {
    this.#enter("lost", failure);
  }

  /** Shows the events that have arrived since the last flush. */
  flush() {
    this.#parts.flush();
    this.#strip.flush();
    const words = this.#parts.words("thinking");
    ui.thoughts.hidden = words === 0;
    ui["thought-words"].textContent = inWords(words);
    ui.events.textContent = (this.#seq + 1).toLocaleString("en");
    this.#page.follower.grown();
  }

  /** Explains why the next prompt is not sent yet. */
  refuse() {
    const why = "one answer at a time: wait for the end, or stop";
    this.#refusedAt = performance.now();
    ui.hint.textContent = why;
    announcer.say(`Not sent: ${why}.`);
  }

  tick() {
    if (!this.running) return;
    const silence = performance.now() - this.#saidAt;
    const silent = silence >= SILENT_MS;
    if (silent) this.#meter.hideRate();
    else this.#meter.showRate();
    if (ui.state.dataset.state !== "live") return;
    if (performance.now() - this.#refusedAt < REFUSAL_SHOWN_MS) return;
    ui.hint.textContent = silent ? `${this.#awaited()}, ${seconds(silence, 0)}` : "";
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
    if (part.kind !== "thinking" && part.kind !== "answer") return this.#parts.change(part);
    if (part.kind === "answer" && !this.#answerBegun) this.#say("Answer started.");
    this.#answerBegun ||= part.kind === "answer";
    const words = this.#parts.add(part, text);
    if (!this.#replaying) this.#meter.add(words);
  }

  /** @param {string} [step] only this one */
  #startOver(step) {
    const { parts = [], restarts = 0 } = this.stream ?? {};
    this.#parts.keep(parts);
    if (step) return this.#note(`${this.#step(step)} starts over`);
    this.#note("The answer starts over");
    this.#say("The answer starts over.");
    ui.restarted.textContent = startedOver(restarts);
    ui.restarted.hidden = false;
  }

  /** @param {{failed: boolean, step: string}} end */
  #stepEnded({ failed, step }) {
    if (failed) this.#note(`${this.#step(step)} failed`);
  }

  /** @param {string} key */
  #step(key) {
    const name = this.#steps.get(key);
    return name ? `The step “${name}”` : "A step";
  }

  /** @param {{attempt: number, continued: string}} claim */
  #claimed({ attempt, continued }) {
    this.#attempt = attempt;
    const how = [`attempt ${attempt}`, CONTINUED[continued]].filter(Boolean).join(", ");
    if (attempt === 1) this.#note("A sandbox begins to write");
    else if (this.#handedOver) this.#note(`The next sandbox continues (${how})`);
    else if (this.#interrupted) this.#note(`Another sandbox took over (${how})`);
    else this.#note(`A new attempt continues the answer (${how})`);
    this.#handedOver = this.#interrupted = false;
  }

  #handOver() {
    this.#handedOver = true;
    this.#note("The sandbox hands over before its time limit");
  }

  /** @param {string} reason @param {Usage} usage */
  #done(reason, usage) {
    // A later writer counts only its own tokens, and a tab that opened later missed their start.
    const tokens = usage.output_tokens;
    if (tokens !== null && this.#meter.fromSend && this.#attempt === 1) {
      this.#meter.showTokenRate(tokens);
    }
    const counted = tokens === null ? "" : `${tokens.toLocaleString("en")} tokens`;
    ui.summary.textContent = [counted, ENDINGS[reason]].filter(Boolean).join(", ");
  }

  /** @param {State} state @param {Failure} [failure] */
  #enter(state, failure) {
    if (state === "live" || state === "in-steps") this.#live(state);
    else if (state === "connecting" || state === "crowded" || state === "paused") this.#wait(state);
    else if (state === "taken-over") this.#takenOver();
    else if (state === "stalled" || state === "reconnecting") this.#interrupt(state);
    else if (failure?.code === "unauthorized") this.#lock(this.#page.route);
    else this.#finish(state, failure);
  }

  /** @param {"live" | "in-steps"} state */
  #live(state) {
    if (this.#apart) this.#note(`Reading again, from event ${this.#seq}`);
    if (this.#apart) this.#say("Connected again.", "connection");
    this.#apart = false;
    if (state === "in-steps") this.#tellOfSteps();
    // The state ends with the next event, often too soon to be read.
    clearTimeout(this.#takenOverShown);
    if (ui.state.dataset.state !== "taken-over") this.#show(state);
    else this.#takenOverShown = setTimeout(() => this.#show(state), TAKEN_OVER_SHOWN_MS);
  }

  #tellOfSteps() {
    if (this.#inSteps) return;
    this.#inSteps = true;
    this.#note("A proxy holds the answer back, so the page reads it in steps");
    this.#say("Reading in steps.", "connection");
  }

  #takenOver() {
    this.#apart = false;
    if (this.#replaying) return;
    this.#show("taken-over");
    this.#say("The answer continues.", "connection");
  }

  /** @param {"connecting" | "crowded" | "paused"} state */
  #wait(state) {
    this.#show(state);
    if (state === "connecting") return;
    this.#apart = true;
    this.#note(
      state === "paused"
        ? "This tab is hidden and releases its connection"
        : "Other tabs use all connections to the server",
    );
    if (state === "crowded") this.#say(`${STATES.crowded}: ${HINTS.crowded}.`, "connection");
  }

  /** @param {"stalled" | "reconnecting"} state */
  #interrupt(state) {
    const what = state === "stalled" ? "No word from the server" : "The connection ended";
    const since = this.#seq < 0 ? "before the first event" : `after event ${this.#seq}`;
    this.#interrupted = this.#apart = true;
    this.#show(state);
    this.#note(`${what} ${since}`);
    this.#say(state === "stalled" ? "Answer interrupted." : "Reconnecting.", "connection");
    this.#strip.add("gap");
    this.#page.frames.request();
  }

  /** Stops until the person enters an access token. @param {() => void} again */
  #lock(again) {
    this.#rest("locked");
    this.#note("The page asks for an access token");
    this.#page.accessToken.ask(again);
  }

  /** @param {State} state @param {Failure} [failure] @param {() => void} [again] */
  #finish(state, failure, again = () => this.#page.submit(this.prompt)) {
    if (state !== "finished") this.#meter.showRate();
    this.#rest(state);
    const words = this.#parts.words("answer");
    ui.after.hidden = words === 0;
    ui.error.hidden = true;
    this.#note(`${STATES[state]}, after ${this.#seq + 1} events`);
    if (failure && failure.code in FAILURES) this.#note(`The server says: ${failure.message}`);
    if (failure) showError(inFull(failure), failure.retryable && this.prompt ? again : null);
    else this.#say(`${STATES[state]}. The answer has ${inWords(words)}.`);
    this.#page.follower.grown();
  }

  /** @param {State | "locked"} state */
  #rest(state) {
    this.running = false;
    this.#show(state);
    this.flush();
    this.#parts.rest();
    showRunning(false);
  }

  // Showing the state

  /** @param {State | "locked"} state */
  #show(state) {
    clearTimeout(this.#takenOverShown);
    ui.state.dataset.state = state;
    ui.state.textContent = STATES[state];
    ui.hint.textContent = HINTS[state] ?? "";
  }

  /** @param {string} text @param {"answer" | "connection"} [about] */
  #say(text, about) {
    if (!this.#replaying) announcer.say(text, about);
  }

  /** @param {string} text */
  #note(text) {
    const when = document.createElement("span");
    when.textContent = this.#replaying ? "earlier" : seconds(this.#meter.elapsedMs);
    const line = document.createElement("li");
    line.append(when, text);
    ui.journal.append(line);
    ui.journal.scrollTop = ui.journal.scrollHeight;
  }
}
