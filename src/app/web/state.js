// @ts-check
/** The line that tells the state of the connection, with a hint. */
import { announcer } from "./announcer.js";
import { ui } from "./elements.js";
import { HINTS, STATES } from "./texts.js";

/** @typedef {import("./client.js").State | "locked"} State */

/** It ends with the next event, often too soon to be read. */
const TAKEN_OVER_SHOWN_MS = 2_000;
const REFUSAL_SHOWN_MS = 4_000;

export class StateLine {
  #refusedAt = -Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #takenOverShown;

  /** @returns {State} */
  get state() {
    return ui.state.dataset.state;
  }

  /** @param {State} state */
  show(state) {
    this.close();
    ui.state.dataset.state = state;
    ui.state.textContent = STATES[state];
    ui.hint.textContent = HINTS[state] ?? "";
  }

  /** Shows a state that does not matter while a take-over is told. @param {State} state */
  showLive(state) {
    this.close();
    if (this.state !== "taken-over") this.show(state);
    else this.#takenOverShown = setTimeout(() => this.show(state), TAKEN_OVER_SHOWN_MS);
  }

  /** Explains why there is no news, or nothing if there is. @param {string} why */
  explain(why) {
    if (this.state !== "live" || performance.now() - this.#refusedAt < REFUSAL_SHOWN_MS) return;
    ui.hint.textContent = why;
  }

  /** Explains why the next prompt is not sent yet. */
  refuse() {
    const why = "one answer at a time: wait for the end, or stop";
    this.#refusedAt = performance.now();
    ui.hint.textContent = why;
    announcer.say(`Not sent: ${why}.`);
  }

  close() {
    clearTimeout(this.#takenOverShown);
  }
}
