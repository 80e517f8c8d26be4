// @ts-check
/** The parts of the page that show an answer as it grows. */
import { ui } from "./elements.js";
import { seconds } from "./texts.js";

/** How often the page shows the speed, and how long the answer must have lasted for that. */
export const RATE_EVERY_MS = 500;
const STRIP_ROOM = 300;

/** Text that is appended to an element as text nodes while it streams. */
export class StreamedText {
  words = 0;
  #pending = "";
  #inWord = false;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }

  /** @param {string} text @returns {number} the number of words that begin in it */
  add(text) {
    this.#pending += text;
    const begun = (text.match(/\S+/g)?.length ?? 0) - (this.#inWord && /^\S/.test(text) ? 1 : 0);
    if (text) this.#inWord = /\S$/.test(text);
    this.words += begun;
    return begun;
  }

  show() {
    if (this.#pending) this.element.append(this.#pending);
    this.#pending = "";
  }
}

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

/** The event log as a line: a segment for each run of one kind, and marks for interruptions. */
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

/** Keeps the end of the page in view while it grows, unless the reader has scrolled up. */
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
    if (document.hidden) setTimeout(() => this.#run(), 250);
    else requestAnimationFrame(() => this.#run());
  }

  #run() {
    if (!this.#due) return;
    this.#due = false;
    this.#work();
  }
}

/**
 * Announces changes to screen readers: of several at once, the last one about the connection and
 * the last one about the answer.
 */
export class Announcer {
  /** @type {Map<"answer" | "connection", string>} */
  #news = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {string} text @param {"answer" | "connection"} [about] */
  say(text, about = "answer") {
    this.#news.set(about, text);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tell(), 400);
  }

  #tell() {
    ui.announcer.textContent = [...this.#news.values()].join(" ");
    this.#news.clear();
  }
}

export const announcer = new Announcer();
