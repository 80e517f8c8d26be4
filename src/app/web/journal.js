// @ts-check
/** The list under *What happened*: a line for each event of the connection and the writers. */
import { made, ui } from "./elements.js";
import { CONTINUED } from "./texts.js";

export class Journal {
  #when;
  #handedOver = false;
  #interrupted = false; // since the last claim
  /** @type {Map<string, string>} the names of the steps by their keys */
  #steps = new Map();

  /** @param {() => string} when the time of a line that is added now */
  constructor(when) {
    this.#when = when;
    ui.journal.replaceChildren();
  }

  /** @param {string} text */
  note(text) {
    const line = made("li");
    line.append(made("span", "", this.#when()), text);
    ui.journal.append(line);
    if (!ui.journal.hidden) ui.journal.scrollTop = ui.journal.scrollHeight;
  }

  /** @param {string} event in words @param {number} seq of the last event before it */
  interrupted(event, seq) {
    this.#interrupted = true;
    this.note(`${event} ${seq < 0 ? "before the first event" : `after event ${seq}`}`);
  }

  handedOver() {
    this.#handedOver = true;
    this.note("The sandbox hands over before its time limit");
  }

  /**
   * A writer begins.
   * @param {{attempt: number, continued: string}} claim
   * @returns {string} the event in words; "" for the first writer
   */
  claimed({ attempt, continued }) {
    const how = [`attempt ${attempt}`, CONTINUED[continued]].filter(Boolean).join(", ");
    const event = this.#handedOver
      ? "The next sandbox continues"
      : this.#interrupted
        ? "Another sandbox took over"
        : "A new attempt continues the answer";
    this.#handedOver = this.#interrupted = false;
    this.note(attempt === 1 ? "A sandbox begins to write" : `${event} (${how})`);
    return attempt === 1 ? "" : event;
  }

  /** @param {{step: string, name: string}} step */
  stepBegun({ step, name }) {
    this.#steps.set(step, name);
  }

  /** @param {string} key @param {string} event in words */
  ofStep(key, event) {
    const name = this.#steps.get(key);
    this.note(`${name ? `The step “${name}”` : "A step"} ${event}`);
  }
}
