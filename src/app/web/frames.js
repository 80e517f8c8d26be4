// @ts-check
/** Work for the screen in slices that leave the page responsive. */

/** A slice ends after this time. A task that takes longer than 50 ms would be felt. */
const SLICE_MS = 8;
const HIDDEN_MS = 250;

/** @returns {() => boolean} true once the slice that begins now is over */
export function slice() {
  const end = performance.now() + SLICE_MS;
  return () => performance.now() >= end;
}

/** Runs work at most once a frame; in a hidden tab, which has no frames, by a timer. */
export class Frames {
  #due = false;
  #work;

  /** @param {() => void} work */
  constructor(work) {
    this.#work = work;
    document.addEventListener("visibilitychange", () => this.#run());
  }

  request() {
    if (this.#due) return;
    this.#due = true;
    if (document.hidden) setTimeout(() => this.#run(), HIDDEN_MS);
    else requestAnimationFrame(() => this.#run());
  }

  #run() {
    if (!this.#due) return;
    this.#due = false;
    this.#work();
  }
}
