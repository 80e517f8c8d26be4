// @ts-check
/** Tells the state of the connection: by a line, a note in the journal, and an announcement. */
import { HINTS, STATES } from "./texts.js";

/** @typedef {import("./client.js").State} State */

/**
 * The reading that has the connection. `isOld` is true while its events are not news.
 * @typedef {{
 *   seq: () => number,
 *   isOld: () => boolean,
 *   say: (text: string, about: "connection") => void,
 *   interrupted: () => void,
 * }} Reader
 */

export class Connection {
  #line;
  #journal;
  #reader;
  #apart = false; // from the server, now
  #inSteps = false;

  /**
   * @param {import("./state.js").StateLine} line @param {import("./journal.js").Journal} journal
   * @param {Reader} reader
   */
  constructor(line, journal, reader) {
    this.#line = line;
    this.#journal = journal;
    this.#reader = reader;
  }

  /** @param {State} state @returns {boolean} false if that is the end of the stream */
  enter(state) {
    if (state === "live" || state === "in-steps") this.#live(state);
    else if (state === "connecting" || state === "crowded" || state === "paused") this.#wait(state);
    else if (state === "taken-over") this.#takenOver();
    else if (state === "stalled" || state === "reconnecting") this.#interrupt(state);
    else return false;
    return true;
  }

  /** @param {"live" | "in-steps"} state */
  #live(state) {
    if (this.#apart) this.#journal.note(`Reading again, from event ${this.#reader.seq()}`);
    if (this.#apart) this.#say("Connected again.");
    this.#apart = false;
    if (state === "in-steps") this.#tellOfSteps();
    this.#line.showLive(state);
  }

  #tellOfSteps() {
    if (this.#inSteps) return;
    this.#inSteps = true;
    this.#journal.note("A proxy holds the answer back, so the page reads it in steps");
    this.#say("Reading in steps.");
  }

  #takenOver() {
    this.#apart = false;
    if (this.#reader.isOld()) return;
    this.#line.show("taken-over");
    this.#say("The answer continues.");
  }

  /** @param {"connecting" | "crowded" | "paused"} state */
  #wait(state) {
    this.#line.show(state);
    if (state === "connecting") return;
    this.#apart = true;
    this.#journal.note(
      state === "paused"
        ? "This tab is hidden and releases its connection"
        : "Other tabs use all connections to the server",
    );
    if (state === "crowded") this.#say(`${STATES.crowded}: ${HINTS.crowded}.`);
  }

  /** @param {"stalled" | "reconnecting"} state */
  #interrupt(state) {
    this.#apart = true;
    this.#line.show(state);
    this.#journal.interrupted(
      state === "stalled" ? "No word from the server" : "The connection ended",
      this.#reader.seq(),
    );
    this.#say(state === "stalled" ? "Answer interrupted." : "Reconnecting.");
    this.#reader.interrupted();
  }

  /** @param {string} text */
  #say(text) {
    this.#reader.say(text, "connection");
  }
}
