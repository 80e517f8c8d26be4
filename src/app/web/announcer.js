// @ts-check
/** What screen readers announce: changes of state, and never single words of an answer. */
import { ui } from "./elements.js";

const GATHERED_MS = 400;

/** Of several changes at once, it tells the last one about the answer and the connection each. */
class Announcer {
  /** @type {Map<"answer" | "connection", string>} */
  #news = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {string} text @param {"answer" | "connection"} [about] */
  say(text, about = "answer") {
    this.#news.set(about, text);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tell(), GATHERED_MS);
  }

  #tell() {
    ui.announcer.textContent = [...this.#news.values()].join(" ");
    this.#news.clear();
  }
}

export const announcer = new Announcer();
