// @ts-check
/** Keeps the end of the page in view while it grows, unless the reader has scrolled up. */
import { ui } from "./elements.js";

export class Follower {
  #top = 0;
  #following = true;
  #isRunning;

  /** @param {() => boolean} isRunning true while the answer may grow */
  constructor(isRunning) {
    this.#isRunning = isRunning;
    addEventListener("scroll", () => this.#scrolled(), { passive: true });
    addEventListener("resize", () => this.grown());
    new ResizeObserver(() => this.grown()).observe(ui.dock);
    ui.latest.addEventListener("click", () => this.follow());
  }

  follow(following = true) {
    this.#following = following;
    this.grown();
  }

  grown() {
    if (this.#following) scrollTo(0, document.documentElement.scrollHeight);
    this.#offer();
  }

  #offer() {
    ui.latest.hidden = this.#following || this.#atEnd() || !this.#isRunning();
  }

  #atEnd() {
    return innerHeight + scrollY >= document.documentElement.scrollHeight - 8;
  }

  #scrolled() {
    if (this.#atEnd()) this.#following = true;
    else if (scrollY < this.#top) this.#following = false;
    this.#top = scrollY;
    this.#offer();
  }
}
