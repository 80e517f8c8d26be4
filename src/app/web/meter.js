// @ts-check
/** The figures below the answer that is being written. */
import { ui } from "./elements.js";
import { seconds } from "./texts.js";

/** How often the page shows the speed, and how long the answer must have lasted for that. */
export const RATE_EVERY_MS = 500;

/** The time to the first token, and the speed: in words, until the end reports the tokens. */
export class Meter {
  #startedAt = performance.now();
  #firstAt = 0;
  #words = 0;

  /** @param {boolean} fromSend true if the prompt was sent just now, from this page */
  constructor(fromSend) {
    this.fromSend = fromSend;
    ui.ttft.textContent = ui.rate.textContent = "";
  }

  get elapsedMs() {
    return performance.now() - this.#startedAt;
  }

  /** @param {number} words the number of new words */
  add(words) {
    this.#words += words;
    if (this.#firstAt) return;
    this.#firstAt = performance.now();
    if (this.fromSend) this.#remember(this.elapsedMs);
  }

  /** @param {number} [ms] measured before the page was reloaded */
  showFirstToken(ms) {
    if (ms) ui.ttft.textContent = seconds(ms, 2);
  }

  showRate() {
    this.#show(this.#words, "words/s", "White-space separated words, since the first came");
  }

  hideRate() {
    ui.rate.textContent = "";
  }

  /** @param {number} tokens of one writer whose output this page saw from beginning to end */
  showTokenRate(tokens) {
    this.#show(tokens, "tokens/s", "Tokens by the model's count, first to last");
  }

  /** @param {number} ms */
  #remember(ms) {
    this.showFirstToken(ms);
    history.replaceState({ ...history.state, firstTokenMs: ms }, "");
  }

  /** @param {number} amount @param {string} unit @param {string} meaning */
  #show(amount, unit, meaning) {
    const elapsed = performance.now() - this.#firstAt;
    if (!this.#firstAt || elapsed < RATE_EVERY_MS) return;
    ui.rate.textContent = `${Math.round((amount * 1000) / elapsed)} ${unit}`;
    ui.rate.title = meaning;
  }
}
