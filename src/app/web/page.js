// @ts-check
/**
 * The chat page: one prompt, its answer as it comes, and what happens to the connection meanwhile.
 * The address names the stream, so a reload, another tab or the Back button show the same answer.
 * Where that takes an access token the page asks for it, and this browser's tabs have it from then
 * on. The token of a stream is kept nowhere: with the access token it can be had again.
 */
import { createKey, createStream, LLMStream, readStream, StreamError } from "./client.js";

/** @typedef {import("./client.js").State} State */
/** @typedef {import("./client.js").Usage} Usage */
/** @typedef {import("./client.js").Failure} Failure */

const TITLE = document.title;
const RATE_EVERY_MS = 500;
const TAKEN_OVER_SHOWN_MS = 2_000;
const SILENT_MS = 5_000;
const REFUSAL_SHOWN_MS = 4_000;
const STRIP_ROOM = 300;

/** @type {Record<State | "locked", string>} */
const STATES = {
  connecting: "Connecting",
  live: "Live",
  "in-steps": "Reading in steps",
  stalled: "Interrupted",
  reconnecting: "Reconnecting",
  "taken-over": "Taken over",
  crowded: "Waiting for a connection",
  paused: "Paused",
  finished: "Finished",
  cancelled: "Stopped",
  failed: "Failed",
  lost: "Not available",
  locked: "Access needed",
};

/** @type {Partial<Record<State | "locked", string>>} */
const HINTS = {
  "in-steps": "something on the way holds the answer back",
  stalled: "no word from the server",
  reconnecting: "nothing is lost",
  "taken-over": "the answer goes on",
  crowded: "other tabs have all of them: close or hide one",
  paused: "until this tab is shown",
};

const FOR_THE_OPERATOR = "Please tell the person who runs this page.";

/**
 * What readers are told of failures that only the operator can mend. The server's own words, which
 * are for the operator, are in the journal.
 * @type {Record<string, string>}
 */
const FAILURES = {
  key_unreadable: `The key to the model is missing. ${FOR_THE_OPERATOR}`,
  model_access_denied: `The model is not open to this page. ${FOR_THE_OPERATOR}`,
  provider_denied: `The model refused our key. ${FOR_THE_OPERATOR}`,
  provider_incompatible: `The model's service does not stream answers. ${FOR_THE_OPERATOR}`,
  provider_rejected: `The model's service refused this request. ${FOR_THE_OPERATOR}`,
  provider_unreachable: `The model's service cannot be reached. Try again in a minute.`,
  quota_exhausted: `The quota of the model is used up. ${FOR_THE_OPERATOR}`,
  unknown_model: `The model is set up under a wrong name. ${FOR_THE_OPERATOR}`,
  log_refused: `The log of the answers refuses to be used. ${FOR_THE_OPERATOR}`,
  secret_refused: `The access tokens cannot be read. ${FOR_THE_OPERATOR}`,
};

/**
 * How an attempt takes up the answer: the model gets it as the beginning of its own turn, or is
 * asked for the rest, or nothing was there yet.
 */
const CONTINUED = {
  prefill: "at the last character",
  asked: "asked to continue",
  restarted: "from the start",
};

/** @type {Record<string, string>} */
const ENDINGS = { length: "cut at the longest answer allowed (max_tokens)" };

/** Under a stage path such as /Prod/ the API is there too. */
const api = { baseUrl: new URL(".", location.href).pathname.slice(0, -1) };

/** @type {Record<string, any>} */
const ui = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), (e) => [e.id, e]));

/** @param {number} ms */
const seconds = (ms, digits = 1) => `${(ms / 1000).toFixed(digits)} s`;

/** The position of an event in its stream, counted from 0. @param {string} eventId */
const seqOf = (eventId) => Number(eventId.split(":").at(-1));

/** @param {number} count */
const inWords = (count) => `${count.toLocaleString("en")} ${count === 1 ? "word" : "words"}`;

/** Text that streams into an element as text nodes. */
class StreamedText {
  words = 0;
  #pending = "";
  #inWord = false;
  #element;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
    element.replaceChildren();
  }

  /** @param {string} text @returns {number} how many words begin in it */
  add(text) {
    this.#pending += text;
    const begun = (text.match(/\S+/g)?.length ?? 0) - (this.#inWord && /^\S/.test(text) ? 1 : 0);
    if (text) this.#inWord = /\S$/.test(text);
    this.words += begun;
    return begun;
  }

  flush() {
    if (this.#pending) this.#element.append(this.#pending);
    this.#pending = "";
  }
}

/** Time to the first token, and speed: words until the end tells how many tokens they were. */
class Meter {
  #startedAt = performance.now();
  #firstAt = 0;
  #words = 0;

  /** @param {boolean} fromSend whether the time since the prompt was sent is known here */
  constructor(fromSend) {
    this.fromSend = fromSend;
    ui.ttft.textContent = ui.rate.textContent = "";
  }

  get elapsedMs() {
    return performance.now() - this.#startedAt;
  }

  /** @param {number} words that came just now */
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

  /** @param {number} tokens of one writer that was seen from its first token to its last */
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

/** The log as a line: a stretch for every run of like events, a mark where something happened. */
class Strip {
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
class Follower {
  #top = 0;
  #following = true;

  constructor() {
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
    ui.latest.hidden = this.#following || this.#atEnd() || !current?.running;
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

/** Runs work at most once a frame. A hidden tab has no frames: there a timer does it. */
class Frames {
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
 * Tells screen readers what changed: of several things that happen at once, the last about the
 * connection and the last about the answer.
 */
class Announcer {
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

/** What this browser keeps; null also where it is told to keep nothing. @param {string} name */
function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** @param {string} name @param {string | null} value */
function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // It is asked for once a page then.
  }
}

/**
 * The access token, once it has been entered. It is kept in localStorage: a reload and another tab
 * need it too, which sessionStorage does not give them, and unlike a cookie it goes nowhere by
 * itself. What runs in this page can read it, and the page's policy lets nothing run but its own.
 */
class AccessToken {
  #name = `access-token ${api.baseUrl}`; // an origin may have other stages, with other tokens
  #nameOfOpen = `open ${api.baseUrl}`;
  #value = recall(this.#name);
  /** @type {() => void} */
  #again = () => {};

  constructor() {
    addEventListener("storage", ({ key, newValue }) => key === this.#name && this.#set(newValue));
    ui.access.addEventListener("submit", (/** @type {SubmitEvent} */ event) => this.#enter(event));
    ui.forget.addEventListener("click", () => this.#forget());
    this.#set(this.#value);
  }

  /** Whether there is one, or none is needed. */
  get isSettled() {
    return this.#value !== null || recall(this.#nameOfOpen) !== null;
  }

  /** Remembers that none is needed. */
  rememberOpen() {
    keep(this.#nameOfOpen, "yes");
  }

  /** What the client is to show. */
  get credentials() {
    return { bearer: this.#value };
  }

  /**
   * Asks for it because a request was refused, or will be.
   * @param {() => void} again what goes on with it
   */
  ask(again) {
    this.#again = again;
    const wrong = this.#value !== null;
    keep(this.#nameOfOpen, null);
    this.#keep(null);
    ui.access.hidden = false;
    ui["access-error"].textContent = wrong ? "This access token is not valid." : "";
    ui["access-token"].ariaInvalid = String(wrong);
    ui["access-token"].value = "";
    if (!ui.prompt.value) ui["access-token"].focus();
  }

  #forget() {
    this.#keep(null);
    announcer.say("Access token forgotten.");
    ui.prompt.focus();
    void askFirst();
  }

  /** @param {SubmitEvent} event */
  #enter(event) {
    event.preventDefault();
    this.#keep(ui["access-token"].value);
    this.#again();
  }

  /** @param {string | null} value */
  #keep(value) {
    this.#set(value);
    keep(this.#name, value);
  }

  /** @param {string | null} value */
  #set(value) {
    this.#value = value;
    ui.kept.hidden = value === null;
  }
}

/** One stream on the page, from Send or from its address until another takes its place. */
class Reading {
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
  #thinking = new StreamedText(ui.thinking);
  #answer = new StreamedText(ui.answer);
  #strip = new Strip();
  #meter;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #takenOverShown;

  /** @param {string} prompt @param {boolean} fromSend */
  constructor(prompt, fromSend) {
    this.prompt = prompt;
    this.#meter = new Meter(fromSend);
    this.#meter.showFirstToken(history.state?.firstTokenMs);
    document.title = prompt ? `${prompt.slice(0, 60)} – ${TITLE}` : TITLE;
    ui.question.textContent = prompt;
    ui.question.hidden = !prompt;
    ui.thoughts.hidden = ui.after.hidden = ui.error.hidden = true;
    ui.summary.textContent = "";
    ui.events.textContent = "0";
    ui.journal.replaceChildren();
    this.#show("connecting");
    showRunning(true);
  }

  /**
   * @param {string} id @param {string | null} [token] the stream's own
   * @param {number} [replayUntil] up to this event nothing is news
   */
  follow(id, token = null, replayUntil = -1) {
    this.#replayUntil = replayUntil;
    const stream = new LLMStream(id, { ...api, ...accessToken.credentials, token });
    this.stream = stream;
    stream.addEventListener("event", ({ detail }) => this.#count(detail.kind, detail.lastEventId));
    stream.addEventListener("state", ({ detail }) => this.#enter(detail.state, detail.failure));
    stream.addEventListener("start", ({ data }) => this.#note(`The log begins (${data.model})`));
    stream.addEventListener("claim", ({ data }) => this.#claimed(data));
    stream.addEventListener("handoff", () => this.#handOver());
    stream.addEventListener("thinking", ({ data }) => this.#text(this.#thinking, data.text));
    stream.addEventListener("answer", ({ data }) => this.#text(this.#answer, data.text));
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

  /** Ends without having been let to the stream. @param {StreamError} failure */
  lose(failure) {
    this.#enter("lost", failure);
  }

  /** Brings the page up to date with what has come. */
  flush() {
    this.#thinking.flush();
    this.#answer.flush();
    this.#strip.flush();
    ui.thoughts.hidden = this.#thinking.words === 0;
    ui["thought-words"].textContent = inWords(this.#thinking.words);
    ui.events.textContent = (this.#seq + 1).toLocaleString("en");
    follower.grown();
  }

  /** Says why the next prompt is not sent yet. */
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
    ui.hint.textContent = silent ? `the model is silent, ${seconds(silence, 0)}` : "";
  }

  // What the stream tells

  get #replaying() {
    return this.#seq >= 0 && this.#seq <= this.#replayUntil;
  }

  /** @param {string} kind @param {string} lastEventId */
  #count(kind, lastEventId) {
    this.#seq = seqOf(lastEventId);
    this.#strip.add(kind);
    frames.request();
  }

  /** @param {StreamedText} part @param {string} text */
  #text(part, text) {
    if (this.#answer.words === 0 && part === this.#answer) this.#say("Answer started.");
    this.#saidAt = performance.now();
    const words = part.add(text);
    if (!this.#replaying) this.#meter.add(words);
  }

  /** @param {{attempt: number, continued: keyof typeof CONTINUED}} claim */
  #claimed({ attempt, continued }) {
    this.#attempt = attempt;
    const how = `attempt ${attempt}, ${CONTINUED[continued]}`;
    if (attempt === 1) this.#note("A sandbox begins to write");
    else if (this.#handedOver) this.#note(`The next sandbox goes on (${how})`);
    else if (this.#interrupted) this.#note(`Another sandbox took over (${how})`);
    else this.#note(`The answer is taken up again (${how})`);
    this.#handedOver = this.#interrupted = false;
  }

  #handOver() {
    this.#handedOver = true;
    this.#note("The sandbox hands over before its time is up");
  }

  /** @param {string} reason @param {Usage} usage */
  #done(reason, usage) {
    // A later writer counts its own tokens only, and a tab that came later missed some of the time.
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
    else if (failure?.code === "unauthorized") this.#lock(route);
    else this.#finish(state, failure);
  }

  /** @param {"live" | "in-steps"} state */
  #live(state) {
    if (this.#apart) this.#note(`Reading again, from event ${this.#seq}`);
    if (this.#apart) this.#say("Connected again.", "connection");
    this.#apart = false;
    if (state === "in-steps") this.#tellOfSteps();
    // A take-over is over with the next event; that is too short to be read.
    clearTimeout(this.#takenOverShown);
    if (ui.state.dataset.state !== "taken-over") this.#show(state);
    else this.#takenOverShown = setTimeout(() => this.#show(state), TAKEN_OVER_SHOWN_MS);
  }

  #tellOfSteps() {
    if (this.#inSteps) return;
    this.#inSteps = true;
    this.#note("Something on the way holds the answer back, so it is read in steps");
    this.#say("Reading in steps.", "connection");
  }

  #takenOver() {
    this.#apart = false;
    if (this.#replaying) return;
    this.#show("taken-over");
    this.#say("The answer goes on.", "connection");
  }

  /** @param {"connecting" | "crowded" | "paused"} state */
  #wait(state) {
    this.#show(state);
    if (state === "connecting") return;
    this.#apart = true;
    this.#note(
      state === "paused"
        ? "This tab is hidden and lets its connection go"
        : "Other tabs have all connections to the server",
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
    frames.request();
  }

  /** Goes no further without an access token. @param {() => void} again */
  #lock(again) {
    this.#rest("locked");
    this.#note("An access token is asked for");
    accessToken.ask(again);
  }

  /** @param {State} state @param {Failure} [failure] @param {() => void} [again] */
  #finish(state, failure, again = () => submit(this.prompt)) {
    if (state !== "finished") this.#meter.showRate();
    this.#rest(state);
    ui.after.hidden = this.#answer.words === 0;
    ui.error.hidden = true;
    this.#note(`${STATES[state]}, after ${this.#seq + 1} events`);
    if (failure && failure.code in FAILURES) this.#note(`The server says: ${failure.message}`);
    if (failure) showError(inFull(failure), failure.retryable && this.prompt ? again : null);
    else this.#say(`${STATES[state]}. The answer has ${inWords(this.#answer.words)}.`);
    follower.grown();
  }

  /** @param {State | "locked"} state */
  #rest(state) {
    this.running = false;
    this.#show(state);
    this.flush();
    showRunning(false);
  }

  // What the page shows

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

/** @param {boolean} running */
function showRunning(running) {
  const { activeElement } = document;
  ui.answer.ariaBusy = String(running);
  showStopping(false);
  ui.stop.hidden = !running;
  ui.send.hidden = running;
  // Whoever was on a button that has gone is not left nowhere.
  if (running && activeElement?.matches("button, input")) ui.stop.focus();
  if (!running && activeElement === ui.stop) ui.send.focus();
}

/** @param {boolean} stopping */
function showStopping(stopping) {
  ui.stop.disabled = stopping;
  ui.stop.textContent = stopping ? "Stopping" : "Stop";
}

/** What happened, and if it was too much for now, until when. @param {Failure} failure */
function inFull(failure) {
  if (!(failure instanceof StreamError && failure.status === 429 && failure.retryAfter)) {
    return FAILURES[failure.code] ?? failure.message;
  }
  const at = new Date(Date.now() + failure.retryAfter * 1000).toLocaleTimeString();
  return `${failure.message} Possible again at ${at}.`;
}

/** @param {string} message @param {(() => void) | null} again */
function showError(message, again) {
  ui["error-message"].textContent = message;
  ui.again.onclick = again;
  ui.again.hidden = !again;
  ui.error.hidden = false;
}

/** @param {boolean} reading */
function showPage(reading) {
  ui.access.hidden = true;
  ui.welcome.hidden = reading;
  ui.reading.hidden = ui.connection.hidden = ui.new.hidden = !reading;
}

/** @type {Reading | undefined} */
let current;

const accessToken = new AccessToken();
const follower = new Follower();
const announcer = new Announcer();
const frames = new Frames(() => current?.flush());

/** @param {Reading} reading */
function begin(reading) {
  current?.close();
  current = reading;
  showPage(true);
  follower.follow();
  return reading;
}

/** A new stream, and a new entry in the tab's history. @param {string} prompt */
function submit(prompt) {
  const key = createKey();
  // Before the request: a reload while it is under way repeats it, and the key finds its stream.
  history.pushState({ prompt, key }, "", location.pathname);
  ui.prompt.value = "";
  void ask(prompt, key);
}

/** @param {string} prompt @param {string} key */
async function ask(prompt, key) {
  const reading = begin(new Reading(prompt, true));
  try {
    const options = { ...api, ...accessToken.credentials, idempotencyKey: key };
    const { id, token } = await createStream({ prompt }, options);
    if (reading !== current) return;
    history.replaceState(history.state, "", `?stream=${encodeURIComponent(id)}`);
    reading.follow(id, token);
    if (reading.stopRequested) await stop();
  } catch (error) {
    if (reading !== current) return;
    if (!(error instanceof StreamError)) throw error;
    reading.fail(error, () => void ask(prompt, key));
  }
}

/** @param {string} id @param {string} prompt known only where it was typed */
async function resume(id, prompt) {
  const reading = begin(new Reading(prompt, false));
  try {
    const options = { ...api, ...accessToken.credentials, attempts: 1 };
    const { status, last_event_id, token } = await readStream(id, options);
    if (reading !== current) return;
    follower.follow(status === "streaming" || status === "waiting");
    reading.follow(id, token, seqOf(last_event_id));
  } catch (error) {
    if (reading !== current) return;
    if (!(error instanceof StreamError)) throw error;
    if (error.retryable) reading.follow(id, null, Infinity);
    else reading.lose(error);
  }
}

async function stop() {
  const reading = current;
  if (!reading) return;
  reading.stopRequested = true;
  showStopping(true);
  try {
    await reading.stream?.cancel();
  } catch (error) {
    if (reading !== current || !reading.running) return;
    showStopping(false);
    showError(`Not stopped. ${/** @type {Error} */ (error).message}`, stop);
  }
}

function reset() {
  current?.close();
  current = undefined;
  document.title = TITLE;
  showRunning(false);
  showPage(false);
  follower.follow(false);
  scrollTo(0, 0);
  ui.prompt.focus();
  void askFirst();
}

/**
 * Asks for an access token before a prompt is typed, where one is needed. Where none is, this
 * browser remembers it, so that coming back to the page costs no request more than the page.
 */
async function askFirst() {
  if (accessToken.isSettled) return;
  const answer = await fetch(`${api.baseUrl}/healthz`).catch(() => null);
  const health = answer?.ok ? await answer.json().catch(() => null) : null;
  if (health?.access === "open") accessToken.rememberOpen();
  else if (health?.access && !current && !accessToken.isSettled) accessToken.ask(reset);
}

/** Shows what the address, and this tab's memory of it, say. */
function route() {
  const id = new URLSearchParams(location.search).get("stream");
  const { prompt = "", key } = history.state ?? {};
  if (id) void resume(id, prompt);
  else if (key) void ask(prompt, key);
  else reset();
}

async function copy() {
  await navigator.clipboard.writeText(ui.answer.textContent);
  ui.copy.textContent = "Copied";
  announcer.say("Answer copied.");
  setTimeout(() => (ui.copy.textContent = "Copy"), 2_000);
}

/** @param {SubmitEvent} event */
function send(event) {
  event.preventDefault();
  const prompt = ui.prompt.value.trim();
  if (prompt && ui.send.hidden) current?.refuse();
  else if (prompt) submit(prompt);
}

/** @param {KeyboardEvent} event */
function typed(event) {
  // Enter may also choose among an input method's suggestions.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  ui.form.requestSubmit();
}

/** @param {KeyboardEvent} event */
function escaped({ key, isComposing }) {
  if (key === "Escape" && !isComposing && !ui.stop.hidden && !ui.stop.disabled) void stop();
}

ui.form.addEventListener("submit", send);
ui.prompt.addEventListener("keydown", typed);
ui.stop.addEventListener("click", stop);
ui.copy.addEventListener("click", copy);
ui.copy.hidden = !navigator.clipboard; // which only pages from https or localhost have
ui.more.addEventListener("click", () => {
  ui.journal.hidden = !ui.journal.hidden;
  ui.more.ariaExpanded = String(!ui.journal.hidden);
  ui.journal.scrollTop = ui.journal.scrollHeight;
});
ui.thoughts.addEventListener("toggle", () => ui.thoughts.open && follower.follow(false));
ui.new.addEventListener("click", () => {
  history.pushState(null, "", location.pathname);
  reset();
});
for (const example of ui.examples.querySelectorAll("button")) {
  example.addEventListener("click", () => submit(example.textContent));
}
addEventListener("keydown", escaped);
addEventListener("popstate", route);
setInterval(() => current?.tick(), RATE_EVERY_MS);
route();
