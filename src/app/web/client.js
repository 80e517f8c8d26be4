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
 * Where the API wants an API token, give it as `bearer` to all three. EventSource, which can
 * send no header, shows the token of its one stream instead; who has only that (`token` of what
 * was created or read) may read and cancel this stream, and needs no `bearer`.
 */

/**
 * `stalled`: connected, but not even heartbeats arrive. `taken-over`: another writer goes on; lasts
 * until its first event. The last four are final. `lost`: the server has no such stream (any more)
 * or refuses it to us.
 * @typedef {"connecting" | "live" | "stalled" | "reconnecting" | "taken-over"
 *   | "finished" | "cancelled" | "failed" | "lost"} State
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
 * What an LLMStream dispatches: the server's events with their data parsed, and `state`. The
 * server's `error` event is called `failure` here, because EventSource's own `error` is mere
 * transport trouble, which this module deals with.
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
 * }} StreamEvents
 */

const DEFAULTS = {
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
  fetch: globalThis.fetch,
  EventSource: globalThis.EventSource,
};

const DROPS_BEFORE_BACKOFF = 3;
const KINDS = ["start", "claim", "thinking", "answer", "heartbeat", "handoff", "done", "cancelled"];

/** @type {Record<string, State>} */
const FINAL_STATES = { done: "finished", error: "failed", cancelled: "cancelled" };

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
  #drops = 0;
  #heardAt = 0;
  #backingOff = false;
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
    if (lastEventId) this.#moveTo(lastEventId);
    const { signal } = this.#closed;
    const check = () => this.#checkSilence();
    globalThis.addEventListener("online", () => this.#backingOff && this.#probe(), { signal });
    globalThis.addEventListener("pageshow", check, { signal });
    globalThis.document?.addEventListener("visibilitychange", check, { signal });
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
   * Stops the generation, for every reader; `cancelled` then comes as an event.
   * @returns {Promise<Snapshot>}
   * @throws {StreamError}
   */
  cancel() {
    return request(`${pathOf(this.id)}/cancel`, { method: "POST" }, this.#options);
  }

  /** Stops reading; the generation goes on. */
  close() {
    this.#closed.abort();
    this.#source?.close();
    clearTimeout(this.#timer);
  }

  // Connecting

  #connect() {
    if (this.#closed.signal.aborted) return;
    const { baseUrl, token, EventSource } = this.#options;
    const query = queryOf({ last_event_id: this.#lastEventId, token });
    this.#source?.close();
    const source = new EventSource(`${baseUrl}${pathOf(this.id)}/events${query}`);
    for (const kind of KINDS) source.addEventListener(kind, (event) => this.#receive(event));
    source.addEventListener("open", () => this.#heard());
    source.addEventListener("error", (event) => {
      if (event instanceof MessageEvent) this.#receive(event);
      else this.#dropped();
    });
    this.#source = source;
    this.#heard();
    this.#checkSilence();
  }

  #dropped() {
    this.#heard();
    this.#enter("reconnecting");
    this.#drops += 1;
    if (this.#source?.readyState === 2 || this.#drops >= DROPS_BEFORE_BACKOFF) this.#backOff();
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
      const ended = status in FINAL_STATES && last_event_id === this.#lastEventId;
      if (ended) this.#end(FINAL_STATES[status], error ?? undefined);
      else this.#connect();
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      if (!(error instanceof StreamError)) throw error;
      if (!error.retryable) return this.#end("lost", error);
      this.#drops += 1;
      this.#backOff(error.retryAfter);
    }
  }

  // Receiving

  /** @param {MessageEvent<string>} event */
  #receive({ type, data: json, lastEventId }) {
    this.#heard();
    const seq = this.#seqOf(lastEventId);
    if (!(seq > this.#seq)) return;
    if (seq > this.#seq + 1 && this.#holeAfter !== this.#seq) {
      // A hole that is still there next time is an event of a kind this version does not know.
      this.#holeAfter = this.#seq;
      this.#enter("reconnecting");
      return this.#connect();
    }
    const data = JSON.parse(json);
    this.#moveTo(lastEventId);
    this.#drops = 0;
    const failed = type === "error";
    this.dispatchEvent(new MessageEvent(failed ? "failure" : type, { data, lastEventId }));
    if (this.#closed.signal.aborted) return;
    if (type in FINAL_STATES) this.#end(FINAL_STATES[type], failed ? data : undefined);
    else this.#enter(type === "claim" && data.attempt > 1 ? "taken-over" : "live");
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
    if (stalled && (this.#state === "live" || this.#state === "taken-over")) this.#enter("stalled");
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
async function exchange(url, init, { fetch, timeoutMs }) {
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = init.signal ? AbortSignal.any([init.signal, timeout]) : timeout;
  try {
    const response = await fetch(url, { ...init, signal });
    if (response.ok) return await response.json();
    throw await refusal(response);
  } catch (error) {
    init.signal?.throwIfAborted();
    if (error instanceof StreamError) throw error;
    throw new StreamError(0, "no_answer", "The server did not answer.");
  }
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
