// @ts-check
/**
 * Browser client of a resumable LLM stream: every event exactly once and in order, whatever happens
 * to the connection.
 *
 *     import { createStream, LLMStream } from "./client.js";
 *
 *     const { id } = await createStream({ prompt: "Why is the sky blue?" });
 *     const stream = new LLMStream(id);
 *     stream.addEventListener("answer", (event) => output.append(event.data.text));
 *     stream.addEventListener("state", () => (label.textContent = stream.state));
 *     await stream.cancel(); // stops the generation, for every reader; close() only stops reading
 *
 * The server numbers events 0, 1, 2 … without holes. EventSource reconnects by itself after most
 * trouble. This module adds what it lacks: it goes on after answers that EventSource takes for
 * final, notices a connection that is open but dead, refuses repeated and missing events, and
 * knows when a stream has ended.
 *
 * Over HTTP/1.1 a browser has six connections to one host, for all its pages together, and each
 * reader holds one. So the pages of an origin agree, by Web Locks, on five readers at once: one
 * connection stays free for loading a page and for cancel(). A hidden page makes room for a shown
 * one.
 *
 * Where the API wants an API token, give it as `bearer` to all three. EventSource, which can
 * send no header, shows the token of its one stream instead; who has only that (`token` of what
 * was created or read) may read and cancel this stream, and needs no `bearer`.
 */

/**
 * `in-steps`: all is well, but something on the way holds each response back until it ends.
 * `stalled`: connected, but not even heartbeats arrive. `taken-over`: another writer goes on; lasts
 * until its first event. `crowded`: other readers have all the connections; this one waits for its
 * turn. `paused`: the page is hidden and does not read; it goes on when it is shown. The last four
 * are final. `lost`: the server has no such stream (any more) or refuses it to us.
 * @typedef {"connecting" | "live" | "in-steps" | "stalled" | "reconnecting" | "taken-over"
 *   | "crowded" | "paused" | "finished" | "cancelled" | "failed" | "lost"} State
 *
 * @typedef {{code: string, message: string, retryable: boolean}} Failure
 * @typedef {{input_tokens: number | null, output_tokens: number | null}} Usage
 * @typedef {{id: string, status: string, model: string, token: string | null}} Created
 * @typedef {Created & {thinking: string, answer: string, last_event_id: string,
 *   finish_reason: string | null, usage: Usage | null, error: Failure | null, expires_at: number
 * }} Snapshot
 * @typedef {Partial<typeof DEFAULTS>} Options
 */

/**
 * The events that an LLMStream dispatches: those of the server with their data parsed, and two of
 * its own. `state` reports a change of state. `event` reports every event of the server, of
 * whatever kind, before the event of that kind. The server's `error` is called `failure` here,
 * because EventSource's own `error` only means a lost connection, which this module handles.
 * @typedef {{
 *   start: MessageEvent<{stream_id: string, model: string}>,
 *   claim: MessageEvent<{attempt: number, continued: "prefill" | "asked" | "restarted"}>,
 *   thinking: MessageEvent<{text: string}>,
 *   answer: MessageEvent<{text: string}>,
 *   heartbeat: MessageEvent<{}>,
 *   handoff: MessageEvent<{}>,
 *   done: MessageEvent<{finish_reason: string, usage: Usage}>,
 *   failure: MessageEvent<Failure>,
 *   cancelled: MessageEvent<{}>,
 *   state: CustomEvent<{state: State, failure?: Failure}>,
 *   event: CustomEvent<{kind: string, data: any, lastEventId: string}>,
 * }} StreamEvents
 *
 * The kinds of events, each with the state in which it leaves the stream; null: the stream goes on.
 * @typedef {Record<string, State | null>} Kinds
 */

/**
 * The kinds that this version knows. The server tells its own kinds with every JSON answer, so a
 * kind that is added later also arrives. The terminal kinds here are also statuses of a snapshot.
 * @type {Kinds}
 */
const KINDS = {
  start: null,
  claim: null,
  thinking: null,
  answer: null,
  heartbeat: null,
  handoff: null,
  done: "finished",
  error: "failed",
  cancelled: "cancelled",
};

/** The events of this module itself: a kind of the same name is dispatched as `event` only. */
const OWN_EVENTS = new Set(["event", "failure", "state"]);

const DEFAULTS = {
  /**
   * Kinds to listen to besides KINDS and those that the server tells. A page needs this option only
   * where it cannot read the header Event-Kinds, for example behind a proxy that removes it.
   */
  kinds: /** @type {Kinds} */ ({}),
  /** Where the API is: "" for the root of this origin, or "/stage", or "https://host". */
  baseUrl: "",
  /** An API token: what lets its owner create streams, and read all of their own. */
  bearer: /** @type {string | null} */ (null),
  /** A stream's own token, which says nothing where there is a bearer. */
  token: /** @type {string | null} */ (null),
  /** Attempts of one request, the first included, and the time one attempt may take. */
  attempts: 5,
  timeoutMs: 15_000,
  /**
   * The wait before trying again: doubles up to the cap, and chance takes away up to half. It is
   * longer if the server says so; one that wants more than the cap is not waited for.
   */
  backoffMs: 500,
  backoffCapMs: 10_000,
  /** Three heartbeats and some slack. */
  stalledMs: 3_500,
  /** Twice a dead writer's lease: by now another would write, so the connection must be dead. */
  silentMs: 8_000,
  /** Without an answer at all; longer, for the server may have to start first. */
  unansweredMs: 10_000,
  /** A response that is awaited for so long, and then comes as a whole, was held back. */
  heldBackMs: 900,
  /** A hidden page that gets only heartbeats for so long stops reading until it is shown. */
  hiddenMs: 30_000,
  /** How many may read at once from one host over HTTP/1.1, in all pages; 0 sets no bound. */
  readersAtOnce: 5,
  fetch: globalThis.fetch,
  EventSource: globalThis.EventSource,
};

const DROPS_BEFORE_BACKOFF = 3;
const PIECES_BEFORE_STEPS = 2;

/** @type {Set<State>} */
const READING = new Set(["live", "in-steps", "taken-over"]);

/** @type {Map<string, Kinds>} the kinds that the server at each base URL has told */
const toldKinds = new Map();

/**
 * A request that was refused, or failed to the last attempt; `status` 0: no complete answer.
 * `retryAfter`: seconds after which the server wants to be asked again; 0 if it did not say.
 */
export class StreamError extends Error {
  /** @param {number} status @param {string} code @param {string} message */
  constructor(status, code, message, retryAfter = 0) {
    super(message);
    this.name = "StreamError";
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
    this.retryable = status === 0 || status === 408 || status === 429 || status >= 500;
  }
}

/**
 * Asks for a generation. One key is one generation, however often it is sent: repeat a call that
 * failed with the key it had.
 * @param {{prompt: string} | {messages: {role: string, content: string}[]}} body
 *   and optionally model, max_tokens, temperature
 * @param {Options & {idempotencyKey?: string, signal?: AbortSignal}} [options]
 * @returns {Promise<Created>}
 * @throws {StreamError}
 */
export function createStream(body, { idempotencyKey = createKey(), signal, ...options } = {}) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey };
  const init = { method: "POST", headers, body: JSON.stringify(body), signal };
  return request("/streams", init, options);
}

/** An Idempotency-Key. Not randomUUID(), which exists only in pages that came over https. */
export function createKey() {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}

/**
 * Reads the whole stream as it is now.
 * @param {string} id @param {Options & {signal?: AbortSignal}} [options]
 * @returns {Promise<Snapshot>}
 * @throws {StreamError}
 */
export function readStream(id, { signal, ...options } = {}) {
  return request(pathOf(id), { signal }, options);
}

/** One reader of one stream. It connects at once and goes on until a final state or close(). */
export class LLMStream extends EventTarget {
  /** @type {State} */
  #state = "connecting";
  #lastEventId = "";
  #seq = -1;
  #holeAfter = NaN;
  #hasUnlistedKinds = false;
  /** @type {Map<string, State | null>} */
  #kinds = new Map();
  #drops = 0;
  #heardAt = 0;
  #backingOff = false;
  #askedAt = 0;
  #openedAt = 0;
  #brought = 0;
  #pieces = 0;
  #newsAt = Date.now();
  #paused = false;
  #cancelling = 0;
  #seat = "";
  #seats;
  /** @type {AbortController | undefined} gives back the seat that is held or waited for */
  #seated;
  /** @type {AbortController | undefined} */
  #offered;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #hiddenTimer;
  #closed = new AbortController();
  /** @type {EventSource | undefined} */
  #source;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #options;

  /**
   * @param {string} id
   * @param {Options & {lastEventId?: string}} [options] lastEventId: read only what follows it
   */
  constructor(id, { lastEventId = "", ...options } = {}) {
    super();
    this.id = id;
    this.#options = { ...DEFAULTS, ...options };
    this.#seats = seatsOf(this.#options);
    if (lastEventId) this.#moveTo(lastEventId);
    const { signal } = this.#closed;
    const check = () => this.#checkSilence();
    globalThis.addEventListener("online", () => this.#backingOff && this.#probe(), { signal });
    globalThis.addEventListener("pageshow", check, { signal });
    const turn = () => this.#turned();
    globalThis.document?.addEventListener("visibilitychange", turn, { signal });
    if (isHidden()) this.#turned();
    const { bearer, token } = this.#options;
    if (bearer && !token) void this.#probe();
    else this.#connect();
  }

  get state() {
    return this.#state;
  }

  get lastEventId() {
    return this.#lastEventId;
  }

  /**
   * @template {keyof StreamEvents} K
   * @param {K} type
   * @param {((event: StreamEvents[K]) => void) | EventListenerObject | null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   */
  addEventListener(type, listener, options) {
    super.addEventListener(type, /** @type {EventListener} */ (listener), options);
  }

  /**
   * Stops the generation, for every reader; `cancelled` then comes as an event. Meanwhile nothing
   * is read, so that the request finds a free connection however many pages read.
   * @returns {Promise<Snapshot>}
   * @throws {StreamError}
   */
  async cancel() {
    this.#cancelling += 1;
    this.#disconnect();
    try {
      return await request(`${pathOf(this.id)}/cancel`, { method: "POST" }, this.#options);
    } finally {
      this.#cancelling -= 1;
      this.#connect();
    }
  }

  /** Stops reading; the generation goes on. */
  close() {
    this.#closed.abort();
    this.#disconnect();
    this.#leaveSeat();
    clearTimeout(this.#hiddenTimer);
  }

  // Connecting

  #connect() {
    this.#disconnect();
    if (this.#closed.signal.aborted || this.#paused || this.#cancelling) return;
    if (this.#seat || this.#seats.length === 0) this.#open();
    else if (this.#waits) void this.#openIfEnded();
    else void this.#takeSeat();
  }

  #disconnect() {
    this.#source?.close();
    this.#backingOff = false;
    clearTimeout(this.#timer);
  }

  #open() {
    const { baseUrl, token, kinds, EventSource } = this.#options;
    const query = queryOf({ last_event_id: this.#lastEventId, token });
    this.#source?.close();
    const source = new EventSource(`${baseUrl}${pathOf(this.id)}/events${query}`);
    // A kind may be called `open` or `error`, as EventSource calls events without a message.
    /** @param {Event} event */
    const receive = (event) => event instanceof MessageEvent && this.#receive(event);
    this.#kinds = new Map(Object.entries({ ...KINDS, ...kinds, ...toldKinds.get(baseUrl) }));
    for (const kind of this.#kinds.keys()) source.addEventListener(kind, receive);
    source.addEventListener("open", (event) => event instanceof MessageEvent || this.#opened());
    source.addEventListener("error", (event) => event instanceof MessageEvent || this.#dropped());
    this.#source = source;
    this.#askedAt = Date.now();
    this.#heard();
    this.#checkSilence();
  }

  #opened() {
    this.#heard();
    this.#openedAt = this.#heardAt;
    this.#brought = 0;
  }

  #dropped() {
    this.#heard();
    const piece = this.#heldBack() && (this.#brought > 0 || this.#pieces > 0);
    this.#pieces = piece ? this.#pieces + 1 : 0;
    this.#askedAt = this.#heardAt;
    if (this.#pieces >= PIECES_BEFORE_STEPS) this.#enter("in-steps");
    else if (this.#pieces === 0) this.#enter("reconnecting");
    this.#drops += 1;
    if (this.#source?.readyState === 2 || this.#drops >= DROPS_BEFORE_BACKOFF) this.#backOff();
  }

  /**
   * Whether this response has come as a whole, after a wait. EventSource does not tell a response
   * that ends from a connection that breaks, but a connection hardly ever breaks as it opens.
   */
  #heldBack() {
    const wait = this.#openedAt - this.#askedAt;
    return wait >= this.#options.heldBackMs && Date.now() - this.#openedAt < wait / 4;
  }

  #backOff(retryAfter = 0) {
    this.#source?.close();
    this.#backingOff = true;
    this.#wait(backoff(this.#drops, this.#options, retryAfter), () => this.#probe());
  }

  /**
   * EventSource does not tell why it gave up: a plain request does, and whether more will come.
   * To the owner it also gives a token that is good for now.
   */
  async #probe() {
    this.#backingOff = false;
    clearTimeout(this.#timer);
    try {
      const { status, last_event_id, error, token } = await readStream(this.id, {
        ...this.#options,
        attempts: 1,
        signal: this.#closed.signal,
      });
      this.#options.token = token;
      const finalState = KINDS[status];
      const readAll = last_event_id === this.#lastEventId;
      if (finalState && readAll) this.#end(finalState, error ?? undefined);
      else this.#connect();
    } catch (error) {
      if (this.#closed.signal.aborted || this.#paused || this.#cancelling) return;
      if (!(error instanceof StreamError)) throw error;
      if (!error.retryable) return this.#end("lost", error);
      this.#drops += 1;
      this.#backOff(error.retryAfter);
    }
  }

  // Sharing the browser's connections with other readers

  async #takeSeat() {
    const seated = new AbortController();
    this.#seated = seated;
    const full = () => void this.#openIfEnded();
    const seat = await takeSeat(this.#seats, seated.signal, full, () => this.#unseated());
    if (seated.signal.aborted) return;
    this.#seat = seat;
    if (this.#state === "crowded") this.#enter("connecting");
    if (isHidden()) void this.#offerSeat();
    this.#connect();
  }

  /** Reads without a seat what has ended: that holds no connection for long. */
  async #openIfEnded() {
    this.#enter("crowded");
    try {
      const options = { ...this.#options, signal: this.#closed.signal };
      const { status, token } = await readStream(this.id, options);
      this.#options.token = token;
      if (KINDS[status] && this.#waits && !this.#cancelling) this.#open();
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      if (!(error instanceof StreamError)) throw error;
      if (!error.retryable) this.#end("lost", error);
    }
  }

  get #waits() {
    return this.#seated !== undefined && !this.#seat;
  }

  #leaveSeat() {
    this.#seated?.abort();
    this.#offered?.abort();
    this.#seated = undefined;
    this.#seat = "";
  }

  /** Another page has taken the seat, which it does if this one is hidden. */
  #unseated() {
    this.#leaveSeat();
    if (isHidden()) return this.#pause();
    this.#enter("connecting");
    this.#connect();
  }

  async #offerSeat() {
    const offered = new AbortController();
    this.#offered = offered;
    await hold(offerOf(this.#seat), offered.signal, { signal: offered.signal }).catch(() => {});
    // Who waits already has looked for offers before there was this one.
    if (!offered.signal.aborted && (await isWaitedFor(this.#seats)) && isHidden()) this.#pause();
  }

  #turned() {
    this.#newsAt = Date.now();
    this.#checkHidden();
    this.#offered?.abort();
    if (isHidden()) return this.#seat ? void this.#offerSeat() : undefined;
    if (!this.#paused && !this.#waits) return this.#checkSilence();
    this.#paused = false;
    this.#leaveSeat(); // A shown page may take what a hidden one offers.
    this.#enter("connecting");
    this.#connect();
  }

  #checkHidden() {
    clearTimeout(this.#hiddenTimer);
    if (!isHidden() || this.#paused || this.#closed.signal.aborted) return;
    const left = this.#newsAt + this.#options.hiddenMs - Date.now();
    if (left <= 0) this.#pause();
    else this.#hiddenTimer = setTimeout(() => this.#checkHidden(), left);
  }

  #pause() {
    if (this.#closed.signal.aborted) return;
    this.#paused = true;
    clearTimeout(this.#hiddenTimer);
    this.#disconnect();
    this.#leaveSeat();
    this.#enter("paused");
  }

  // Receiving

  /** @param {MessageEvent<string>} event */
  #receive({ type, data: json, lastEventId }) {
    this.#heard();
    const seq = this.#seqOf(lastEventId);
    if (!(seq > this.#seq)) return;
    if (seq > this.#seq + 1 && !this.#hasUnlistedKinds) {
      if (this.#holeAfter !== this.#seq) return this.#readHole();
      // The hole is still there, so it is an event of a kind to which this page does not listen.
      this.#hasUnlistedKinds = !toldKinds.has(this.#options.baseUrl);
    }
    const data = JSON.parse(json);
    this.#moveTo(lastEventId);
    this.#drops = 0;
    this.#brought += 1;
    if (!this.#heldBack()) this.#pieces = 0;
    if (type !== "heartbeat") this.#newsAt = this.#heardAt;
    this.#pass(type, data, lastEventId);
    if (this.#closed.signal.aborted) return;
    const finalState = this.#kinds.get(type);
    if (finalState) this.#end(finalState, type === "error" ? data : undefined);
    else if (type === "claim" && data.attempt > 1) this.#enter("taken-over");
    else this.#enter(this.#pieces >= PIECES_BEFORE_STEPS ? "in-steps" : "live");
  }

  /**
   * Reads again from before a hole. The request asks the server for its kinds: the hole may be an
   * event of a kind that came with a deployment after this connection was opened.
   */
  #readHole() {
    this.#holeAfter = this.#seq;
    this.#disconnect();
    this.#enter("reconnecting");
    void this.#probe();
  }

  /** @param {string} kind @param {any} data @param {string} lastEventId */
  #pass(kind, data, lastEventId) {
    this.dispatchEvent(new CustomEvent("event", { detail: { kind, data, lastEventId } }));
    if (this.#closed.signal.aborted || OWN_EVENTS.has(kind)) return;
    const type = kind === "error" ? "failure" : kind;
    this.dispatchEvent(new MessageEvent(type, { data, lastEventId }));
  }

  /** @param {string} eventId @returns {number} NaN if it is not an id of this stream */
  #seqOf(eventId) {
    const colon = eventId.lastIndexOf(":");
    return eventId.slice(0, colon) === this.id ? Number(eventId.slice(colon + 1)) : NaN;
  }

  /** @param {string} eventId */
  #moveTo(eventId) {
    this.#seq = this.#seqOf(eventId);
    this.#lastEventId = eventId;
  }

  // Noticing silence. By the wall clock, because the others stand still while the machine sleeps.

  #heard() {
    this.#heardAt = Date.now();
  }

  #checkSilence() {
    const { readyState = 2 } = this.#source ?? {};
    if (readyState === 2) return;
    const { stalledMs, silentMs, unansweredMs } = this.#options;
    const limit = readyState === 1 ? silentMs : unansweredMs;
    const silence = Date.now() - this.#heardAt;
    if (silence >= limit) {
      this.#enter("reconnecting");
      return this.#connect();
    }
    const stalled = silence >= stalledMs;
    if (stalled && READING.has(this.#state)) this.#enter("stalled");
    const next = stalled ? limit : Math.min(stalledMs, limit);
    this.#wait(next - silence, () => this.#checkSilence());
  }

  /** @param {number} ms @param {() => void} action */
  #wait(ms, action) {
    if (this.#closed.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(action, ms);
  }

  // Telling

  /** @param {State} state @param {Failure} [failure] */
  #enter(state, failure) {
    if (state === this.#state) return;
    this.#state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, failure } }));
  }

  /** @param {State} state @param {Failure} [failure] */
  #end(state, failure) {
    this.close();
    this.#enter(state, failure);
  }
}

const isHidden = () => globalThis.document?.hidden ?? false;

/**
 * The names of the locks of which every reader holds one; none where there is room for all, or
 * where pages have no locks in common: those need https, or localhost.
 * @param {typeof DEFAULTS} options
 */
function seatsOf({ baseUrl, readersAtOnce }) {
  if (!globalThis.navigator?.locks || !globalThis.document) return [];
  const { origin } = new URL(baseUrl, location.href);
  const loaded = ["navigation", "resource"].flatMap((type) => performance.getEntriesByType(type));
  const multiplexed = loaded.some(
    (entry) =>
      entry instanceof PerformanceResourceTiming &&
      entry.name.startsWith(`${origin}/`) &&
      /^h[23]/.test(entry.nextHopProtocol),
  );
  const count = multiplexed ? 0 : readersAtOnce;
  return Array.from({ length: count }, (_, number) => `reader ${number} of ${origin}`);
}

/** The lock by which a hidden page says that its seat may be taken. @param {string} seat */
const offerOf = (seat) => `${seat}, offered`;

/** @param {string[]} seats */
async function isWaitedFor(seats) {
  const { pending = [] } = await navigator.locks.query();
  return pending.some(({ name = "" }) => seats.includes(name));
}

/** @param {string[]} seats @returns {Promise<string | undefined>} */
async function findOffer(seats) {
  const { held = [] } = await navigator.locks.query();
  return seats.find((seat) => held.some(({ name }) => name === offerOf(seat)));
}

/**
 * Waits for one of these locks, and holds it until `until` aborts.
 * @param {string[]} seats @param {AbortSignal} until
 * @param {() => void} full called if it has to wait
 * @param {() => void} lost called when another page has taken the lock that is held
 * @returns {Promise<string>} its name; "" if `until` aborts before
 */
async function takeSeat(seats, until, full, lost) {
  for (const seat of seats) {
    if (until.aborted) return "";
    if (await hold(seat, until, { ifAvailable: true }, lost)) return seat;
  }
  const tries = [...seats, ""].map((seat) => ({ seat, end: new AbortController() }));
  const endAll = () => tries.forEach(({ end }) => end.abort());
  until.addEventListener("abort", endAll, { once: true });
  if (until.aborted) return "";
  const waits = tries.map(async (each) => {
    const { signal } = each.end;
    if (each.seat) await hold(each.seat, signal, { signal }, lost);
    else {
      const offer = isHidden() ? undefined : await findOffer(seats);
      if (!offer) full();
      if (!offer || signal.aborted) throw new Error("There is no offer.");
      each.seat = offer;
      await hold(offer, signal, { steal: true }, lost);
    }
    return each;
  });
  const won = await Promise.any(waits).catch(() => null);
  for (const each of tries) if (each !== won) each.end.abort();
  return won?.seat ?? "";
}

/**
 * Holds a lock of this origin's pages until `until` aborts.
 * @param {string} name @param {AbortSignal} until @param {LockOptions} how
 * @param {() => void} [lost] called when another page has taken it
 * @returns {Promise<boolean>} whether it is held now; rejects if `how.signal` aborts the wait
 */
function hold(name, until, how, lost = () => {}) {
  return new Promise((resolve, reject) => {
    const held = (/** @type {Lock | null} */ lock) => {
      resolve(lock !== null);
      if (!lock || until.aborted) return;
      return new Promise((end) => until.addEventListener("abort", end, { once: true }));
    };
    navigator.locks.request(name, how, held).catch((error) => {
      reject(error);
      if (!until.aborted) lost();
    });
  });
}

/** @param {string} id */
const pathOf = (id) => `/streams/${encodeURIComponent(id)}`;

/** @param {Record<string, string | null>} parameters of which the empty ones are left out */
function queryOf(parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value) query.set(name, value);
  return query.size ? `?${query}` : "";
}

/**
 * @param {string} path @param {RequestInit} init @param {Options} options
 * @returns {Promise<any>} the JSON answer
 */
async function request(path, init, options) {
  const settings = { ...DEFAULTS, ...options };
  const { baseUrl, bearer, token, attempts, backoffCapMs } = settings;
  const headers = new Headers(init.headers);
  if (bearer) headers.set("Authorization", `Bearer ${bearer}`);
  const url = `${baseUrl}${path}${bearer ? "" : queryOf({ token })}`;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await exchange(url, { ...init, headers }, settings);
    } catch (error) {
      if (!(error instanceof StreamError && error.retryable && attempt < attempts)) throw error;
      if (error.retryAfter * 1000 > backoffCapMs) throw error;
      await pause(backoff(attempt, settings, error.retryAfter), init.signal);
    }
  }
}

/** @param {string} url @param {RequestInit} init @param {typeof DEFAULTS} settings */
async function exchange(url, init, { baseUrl, fetch, timeoutMs }) {
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = init.signal ? AbortSignal.any([init.signal, timeout]) : timeout;
  try {
    const response = await fetch(url, { ...init, signal });
    noteKinds(baseUrl, response.headers.get("Event-Kinds"));
    if (response.ok) return await response.json();
    throw await refusal(response);
  } catch (error) {
    init.signal?.throwIfAborted();
    if (error instanceof StreamError) throw error;
    throw new StreamError(0, "no_answer", "The server did not answer.");
  }
}

/**
 * Remembers the kinds that a server has told, such as `answer, done;terminal`.
 * @param {string} baseUrl @param {string | null} header
 */
function noteKinds(baseUrl, header) {
  if (!header) return;
  const kinds = header.split(",").map((item) => {
    const [kind, terminal] = item.trim().split(";");
    return [kind, terminal ? (KINDS[kind] ?? "finished") : null];
  });
  toldKinds.set(baseUrl, Object.fromEntries(kinds));
}

/** @param {Response} response */
async function refusal(response) {
  const { error } = (await response.json().catch(() => null)) ?? {};
  const { code = "refused", message = `The server answered ${response.status}.` } = error ?? {};
  const retryAfter = Number(response.headers.get("Retry-After")) || 0; // which may also be a date
  return new StreamError(response.status, code, message, retryAfter);
}

/** @param {number} ms @param {AbortSignal | null} [signal] @returns {Promise<void>} */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** @param {number} attempt @param {typeof DEFAULTS} settings @param {number} retryAfter seconds */
function backoff(attempt, { backoffMs, backoffCapMs }, retryAfter) {
  const wait = Math.min(backoffCapMs, backoffMs * 2 ** (attempt - 1)) * (1 - Math.random() / 2);
  return Math.max(wait, retryAfter * 1000);
}
