// @ts-check
/** The event log of an answer, drawn as a line. */
import { ui } from "./elements.js";

const STRIP_ROOM = 300;

/** A segment for each run of one kind, and marks for interruptions. */
export class Strip {
  #total = 0;
  #run = 0;
  #stretch = document.createElement("i");

  constructor() {
    ui.strip.replaceChildren();
  }

  /** @param {string} kind */
  add(kind) {
    if (kind !== this.#stretch.dataset.kind) {
      this.flush();
      this.#run = 0;
      this.#stretch = document.createElement("i");
      this.#stretch.dataset.kind = kind;
      ui.strip.append(this.#stretch);
    }
    this.#run += 1;
    this.#total += 1;
  }

  flush() {
    this.#stretch.style.flexGrow = String(this.#run);
    ui.strip.style.setProperty("--room", String(Math.max(0, STRIP_ROOM - this.#total)));
  }
}
