// @ts-check
/**
 * Browser client of a resumable LLM stream: it delivers every event exactly once and in order,
 * whatever happens to the connection.
 *
 *     import { createStream, LLMStream } from "./client.js";
 *
 *     const { id } = await createStream({ prompt: "Why is the sky blue?" });
 *     const stream = new LLMStream(id);
 *     stream.addEventListener("answer", (event) => output.append(event.data.text));
 *     stream.addEventListener("state", () => (label.textContent = stream.state));
 *     await stream.cancel(); // stops the generation, for every reader; close() only stops reading
 *
 * `stream.parts` is the sum of the events so far: texts, tool calls with their results, the newest
 * progress and data. A page that shows it needs no rules of its own for answers that start over.
 *
 * The server numbers events 0, 1, 2 and so on, without holes. EventSource reconnects after most
 * failures. This module also reconnects after responses that EventSource treats as fatal, detects
 * a connection that is open but dead, ignores repeated events, reads missing events again, and
 * recognises the end of a stream.
 *
 * Tabs of one origin that show the same stream share one connection. One of them, the leading tab,
 * reads and relays the events. Another reads on from its own last event when the leading tab is
 * closed, crashes, freezes, does not answer, or rests because it is hidden.
 *
 * Over HTTP/1.1 a browser opens at most six connections to one host, for all its pages together,
 * and each stream that is read holds one. The pages of an origin therefore share five seats by Web
 * Locks: one connection stays free for loading a page and for cancel(). A hidden page makes room
 * for a visible one.
 *
 * Where the API requires an API token, pass it as `bearer` to all three. EventSource cannot send
 * headers, so its address carries the token of its one stream. That token is the `token` of a
 * created stream or a snapshot. It is enough to read and cancel the stream without a `bearer`.
 */

/**
 * `in-steps`: a proxy buffers each response until it ends; nothing is lost. `stalled`: connected,
 * but not even heartbeats arrive. `taken-over`: another writer continues the stream; this state
 * lasts until its first event. `crowded`: other readers hold all connections, and this one waits
 * for its turn. `paused`: the page is hidden and does not read; it continues when it is visible.
 * The last four states are final. `lost`: the server has no such stream, or refuses access to it.
 * @typedef {"connecting" | "live" | "in-steps" | "stalled" | "reconnecting" | "taken-over"
 *   | "crowded" | "paused" | "finished" | "cancelled" | "failed" | "lost"} State
 *
 * @typedef {{code: string, message: string, retryable: boolean}} Failure
 * @typedef {{input_tokens: number | null, output_tokens: number | null}} Usage
 * @typedef {{id: string, status: string, model: string, token: string | null}} Created
 * @typedef {{role: string, content: string}} Turn
 * @typedef {Created & {messages: Turn[], follows: string[], parts: Part[], thinking: string,
 *   answer: string, last_event_id: string, finish_reason: string | null, usage: Usage | null,
 *   error: Failure | null, expires_at: number}} Snapshot
 * @typedef {Partial<typeof DEFAULTS>} Options
 */

/**
 * A part of an answer. `step` is the key of the step that it belongs to; parts outside of steps
 * have no such member. A call is `running` until its result comes. An event of another kind is a
 * part with the members of the event.
 * @typedef {{step?: string}} InStep
 * @typedef {InStep & {kind: "thinking" | "answer", text: string}} TextPart
 * @typedef {InStep & {kind: "tool_call", id: string, name: string, arguments: Record<string, any>,
 *   state: "running" | "done" | "failed", result: ToolResult | null}} ToolCallPart
 * @typedef {InStep & {output: any, error: string | null}} ToolResult
 * @typedef {InStep & {kind: "progress", label: string, done: number, total: number | null
 * }} ProgressPart
 * @typedef {InStep & {kind: "data", name: string, value: any, id: string}} DataPart
 * @typedef {InStep & {kind: "source", title: string, url: string}} SourcePart
 * @typedef {InStep & {kind: string, [member: string]: any}} OtherPart
 * @typedef {TextPart | ToolCallPart | ProgressPart | DataPart | SourcePart | OtherPart} Part
 */

/**
 * The events that an LLMStream dispatches: those of the server with their data parsed, and two of
 * its own. `state` reports a change of state. `event` reports every event of the server, of
 * whatever kind, before the event of that kind; its `part` is the part that the event has added or
 * changed. The server's `error` is called `failure` here, because EventSource's own `error` only
 * means a lost connection, which this module handles. An event inside a step has the member `step`.
 * @typedef {{
 *   start: MessageEvent<{stream_id: string, model: string}>,
 *   claim: MessageEvent<{attempt: number, continued: string}>,
 *   thinking: MessageEvent<InStep & {text: string}>,
 *   answer: MessageEvent<InStep & {text: string}>,
 *   tool_call: MessageEvent<InStep & {id: string, name: string, arguments: Record<string, any>}>,
 *   tool_result: MessageEvent<ToolResult & {id: string}>,
 *   progress: MessageEvent<InStep & {label: string, done: number, total: number | null}>,
 *   data: MessageEvent<InStep & {name: string, value: any, id: string}>,
 *   source: MessageEvent<InStep & {title: string, url: string}>,
 *   reset: MessageEvent<InStep>,
 *   step: MessageEvent<{name: string, step: string}>,
 *   step_end: MessageEvent<{failed: boolean, step: string}>,
 *   heartbeat: MessageEvent<{}>,
 *   handoff: MessageEvent<{}>,
 *   done: MessageEvent<{finish_reason: string, usage: Usage}>,
 *   failure: MessageEvent<Failure>,
 *   cancelled: MessageEvent<{}>,
 *   state: CustomEvent<{state: State, failure?: Failure}>,
 *   event: CustomEvent<{kind: string, data: any, lastEventId: string, part?: Part}>,
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
  tool_call: null,
  tool_result: null,
  progress: null,
  data: null,
  source: null,
  reset: null,
  step: null,
  step_end: null,
  heartbeat: null,
  handoff: null,
  done: "finished",
  error: "failed",
  cancelled: "cancelled",
};

/** The kinds of text that this version knows. The server tells of others as of its kinds. */
const TEXTS = new Set(["thinking", "answer"]);

/** The kinds of which there are no parts: they tell about the work, and are no part of its answer. */
const WITHOUT_PARTS = new Set([
  ...["start", "claim", "step", "step_end", "heartbeat", "handoff"],
  ...["done", "error", "cancelled"],
]);

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
  /** An API token: its owner may create streams, and read all streams they have created. */
  bearer: /** @type {string | null} */ (null),
  /** The token of one stream. It has no effect beside a bearer. */
  token: /** @type {string | null} */ (null),
  /** Attempts at one request, including the first, and the time limit of one attempt. */
  attempts: 5,
  timeoutMs: 15_000,
  /**
   * The first wait before another attempt. It doubles up to the cap, minus a random part of up to
   * half. The server may ask for a longer wait; if that exceeds the cap, the request fails.
   */
  backoffMs: 500,
  backoffCapMs: 10_000,
  /** Silence after which the stream counts as stalled: three heartbeats and some slack. */
  stalledMs: 3_500,
  /** Silence that means a dead connection: twice a lease, so another writer would be writing. */
  silentMs: 8_000,
  /** The same before the response begins. It is longer because the server may have to start. */
  unansweredMs: 10_000,
  /** A response that takes at least this long and then arrives as a whole was buffered. */
  heldBackMs: 900,
  /** A hidden page that receives only heartbeats for this long pauses until it is visible. */
  hiddenMs: 30_000,
  /** The most connections to one host over HTTP/1.1, of all pages together; 0 sets no limit. */
  readersAtOnce: 5,
  /**
   * Tabs of this origin that show the same stream share one connection. This needs Web Locks and
   * BroadcastChannel; without them, or with `false`, each reader has a connection of its own.
   */
  shared: true,
  /** The longest wait for an answer of the tab that reads, before another reads in its place. */
  leaderMs: 2_000,
  fetch: globalThis.fetch,
  EventSource: globalThis.EventSource,
};

const DROPS_BEFORE_BACKOFF = 3;
const PIECES_BEFORE_STEPS = 2;
/** Time for the last messages of a tab that gives up the lead: its lock is faster than they are. */
const SETTLE_MS = 50;
/** The most events in one message among tabs: each message is a task of the tab that receives it. */
const SLICE = 500;
/** Tabs of another version of this module share only if they send the same messages. */
const TABS_PROTOCOL = 1;
const MIN_CHECK_MS = 100;

/** @type {Set<State>} */
const READING = new Set(["live", "in-steps", "taken-over"]);

/** @type {Set<State>} */
const FINAL = new Set(["finished", "cancelled", "failed", "lost"]);

/**
 * The kinds of one server, and those of them that are text.
 * @typedef {{header: string, kinds: Map<string, State | null>, texts: Set<string>}} Vocabulary
 * @type {Vocabulary}
 */
const KNOWN = { header: "", kinds: new Map(Object.entries(KINDS)), texts: TEXTS };

/** @type {Map<string, Vocabulary>} of the servers that have told their kinds, by base URL */
const told = new Map();

/** @param {string} baseUrl */
const toldBy = (baseUrl) => told.get(baseUrl) ?? KNOWN;

/**
 * A request was refused, or its last attempt failed. `status` is 0 without a complete response.
 * `retryAfter` is the wait in seconds that the server asks for; 0 if it asks for none.
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
 * Creates a stream. Requests with the same key create one stream, however often they are sent: to
 * repeat a failed call, pass its key again.
 * @param {({prompt: string, previous?: string} | {messages: Turn[]}) & Record<string, any>} body
 *   `previous` is the id of the stream whose conversation the prompt continues. Optional members
 *   are agent, model, system, max_tokens, temperature and stop.
 * @param {Options & {idempotencyKey?: string, signal?: AbortSignal}} [options]
 * @returns {Promise<Created>}
 * @throws {StreamError}
 */
export function createStream(body, { idempotencyKey = createKey(), signal, ...options } = {}) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey };
  const init = { method: "POST", headers, body: JSON.stringify(body), signal };
  return request("/streams", init, options);
}

/** An Idempotency-Key. randomUUID() would not do: it exists only in secure contexts. */
export function createKey() {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}

/**
 * Reads a snapshot of the whole stream.
 * @param {string} id @param {Options & {signal?: AbortSignal}} [options]
 * @returns {Promise<Snapshot>}
 * @throws {StreamError}
 */
export function readStream(id, { signal, ...options } = {}) {
  return request(pathOf(id), { signal }, options);
}

/**
 * Folds one event into the parts of an answer, in place: adds a part, changes one, or drops those
 * that start over. It depends on nothing else, and GET /streams/{id} folds by the same rules. To
 * add text costs the same however long the answer is.
 *
 * Text joins the last part if that is of its kind and step. A result belongs to the first call
 * of its id that has none. The newest progress of a label takes the place of the one before it, and
 * so does the newest data of an id, which is the name where there is no id.
 * @param {Part[]} parts @param {string} kind @param {any} data
 * @param {Set<string>} [texts] the kinds that are text
 * @returns {Part | undefined} the part that was added or changed
 */
export function fold(parts, kind, data, texts = TEXTS) {
  if (kind === "reset") return void startOver(parts, data.step ?? "");
  if (WITHOUT_PARTS.has(kind)) return undefined;
  const last = parts.at(-1);
  if (last && texts.has(kind) && goesOn(last, kind, data)) return extend(last, data.text);
  const call = kind === "tool_result" && parts.find((part) => awaits(part, data.id));
  if (call) return settle(call, data);
  const part = { ...data, kind, ...(kind === "tool_call" ? RUNNING : {}) };
  const id = idOf(part);
  const earlier = id !== undefined && parts.find((each) => each.kind === kind && idOf(each) === id);
  if (earlier) return replace(earlier, part);
  parts.push(part);
  return part;
}

const RUNNING = { state: "running", result: null };

/**
 * True if text joins this part: all else is equal.
 * @param {Part} part @param {string} kind @param {any} data
 */
function goesOn(part, kind, data) {
  /** @type {Record<string, any>} */
  const before = { ...part, text: "" };
  const members = { ...data, kind, text: "" };
  const names = Object.keys(before);
  return (
    names.length === Object.keys(members).length &&
    names.every((name) => before[name] === members[name])
  );
}

/** @param {any} part @param {string} text */
function extend(part, text) {
  part.text += text;
  return part;
}

/** True for a call of this id without a result. @param {any} part @param {string} id */
const awaits = (part, id) => part.kind === "tool_call" && !part.result && part.id === id;

/** @param {any} call @param {any} data */
function settle(call, { id: _, ...result }) {
  const state = result.error == null ? "done" : "failed";
  return Object.assign(call, { state, result });
}

/**
 * The name under which only the newest part of a kind counts; undefined where all count.
 * @param {any} part
 */
function idOf({ kind, label, id, name }) {
  if (kind === "progress") return label;
  return kind === "data" ? id || name : undefined;
}

/** Gives a part other members. The object stays the same. @param {any} part @param {any} members */
function replace(part, members) {
  for (const name of Object.keys(part)) delete part[name];
  return Object.assign(part, members);
}

/**
 * Drops the parts of one step, or all where the key is "".
 * @param {Part[]} parts @param {string} key
 */
function startOver(parts, key) {
  const again = ({ step = "" }) => !key || step === key;
  parts.splice(0, parts.length, ...parts.filter((part) => !again(part)));
  for (const part of parts) {
    if (part.kind === "tool_call" && part.result && again(part.result)) {
      Object.assign(part, RUNNING);
    }
  }
}

/** One reader of one stream. It connects at once and reads until a final state or close(). */
export class LLMStream extends EventTarget {
  /** @type {State} */
  #state = "connecting";
  #lastEventId = "";
  #seq = -1;
  #holeAfter = NaN;
  #hasUnlistedKinds = false;
  #restarts = 0;
  #cancelling = 0;
  #probing = false;
  /** True once the server has shown the stream to this reader, by the credentials of its own. */
  #mayListen = false;
  #closed = new AbortController();
  #options;
  #ownKinds;
  #presence;
  #connection;
  #seat;
  #tabs;

  /**
   * @param {string} id
   * @param {Options & {lastEventId?: string}} [options] lastEventId: skip events up to this one,
   *   of which `parts` then knows nothing
   */
  constructor(id, { lastEventId = "", ...options } = {}) {
    super();
    this.id = id;
    /**
     * The sum of the events so far, by the rules of `fold`. It is always the same array; where a
     * framework compares, give it a copy.
     * @type {Part[]}
     */
    this.parts = [];
    this.#options = { ...DEFAULTS, ...options };
    this.#ownKinds = new Map(Object.entries(this.#options.kinds));
    if (lastEventId) this.#moveTo(lastEventId);
    const { bearer, token } = this.#options;
    const reader = this.#reader();
    this.#presence = new Presence(this.#options.hiddenMs, reader);
    this.#connection = new Connection(id, this.#options, reader);
    this.#seat = new Seat(seatsOf(this.#options), reader);
    this.#tabs = new Tabs(nameOfTabs(id, this.#options), this.#options, reader);
    const wake = () => this.#connection.wake();
    globalThis.addEventListener("online", wake, { signal: this.#closed.signal });
    if (bearer && !token) void this.#probe();
    else this.#connect();
  }

  get state() {
    return this.#state;
  }

  get lastEventId() {
    return this.#lastEventId;
  }

  /** How often the answer has started over as a whole. */
  get restarts() {
    return this.#restarts;
  }

  /**
   * @template {keyof StreamEvents} K
   * @overload
   * @param {K} type
   * @param {((event: StreamEvents[K]) => void) | EventListenerObject | null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   * @returns {void}
   */
  /**
   * @overload
   * @param {string} type the kind of an event that StreamEvents does not list
   * @param {((event: MessageEvent) => void) | EventListenerObject | null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   * @returns {void}
   */
  /**
   * @param {string} type
   * @param {((event: any) => void) | EventListenerObject | null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   */
  addEventListener(type, listener, options) {
    super.addEventListener(type, /** @type {EventListener} */ (listener), options);
  }

  /**
   * Stops the generation, for every reader; the event `cancelled` follows. Reading pauses meanwhile
   * to leave a free connection for the request, however many pages read.
   * @returns {Promise<Snapshot>}
   * @throws {StreamError}
   */
  async cancel() {
    this.#cancelling += 1;
    this.#connection.close();
    try {
      const path = `${pathOf(this.id)}/cancel`;
      const snapshot = await request(path, { method: "POST" }, this.#options);
      this.#tabs.tellOfEnd();
      return snapshot;
    } finally {
      this.#cancelling -= 1;
      this.#connect();
    }
  }

  /** Stops reading. The generation continues. */
  close() {
    this.#closed.abort();
    this.#release();
  }

  // Connecting

  /** Opens a connection of this page if this tab leads, and else follows the leading tab. */
  #connect() {
    this.#connection.close();
    if (this.#rests) return;
    if (!this.#tabs.leads) this.#tabs.join();
    else if (this.#seat.isHeld) this.#connection.open();
    else if (this.#seat.isAwaited) void this.#openIfEnded();
    else void this.#seat.take();
  }

  get #rests() {
    return this.#closed.signal.aborted || this.#presence.isAbsent || this.#cancelling > 0;
  }

  /** Gives up all that this reader holds. The seat first: the next leading tab looks for one. */
  #release() {
    this.#connection.close();
    this.#seat.leave();
    this.#tabs.leave();
  }

  #reconnect() {
    this.#enter("connecting");
    this.#connect();
  }

  /** @returns {Reader} the side of this reader that its connection, seat and tabs see */
  #reader() {
    return {
      closed: this.#closed.signal,
      state: () => this.#state,
      cursor: () => ({ seq: this.#seq, lastEventId: this.#lastEventId }),
      kinds: () => [...toldBy(this.#options.baseUrl).kinds.keys(), ...this.#ownKinds.keys()],
      mayListen: () => this.#mayListen,
      isCancelling: () => this.#cancelling > 0,
      leave: () => this.#release(),
      resume: () => this.#rests || this.#reconnect(),
      check: () => this.#check(),
      turned: () => this.#turned(),
      enter: (state) => this.#enter(state),
      stall: () => READING.has(this.#state) && this.#enter("stalled"),
      connect: () => this.#connect(),
      probe: () => void this.#probe(),
      receive: (message) => this.#receive(message),
      seated: () => this.#seated(),
      crowded: () => void this.#openIfEnded(),
      unseated: () => (isHidden() ? this.#presence.pause() : this.#reconnect()),
      lead: () => this.#probing || this.#connect(),
      deposed: () => this.#deposed(),
      hear: (event) => this.#hear(event),
      asked: () => this.#connection.check(),
      ended: () => void this.#openIfEnded(),
    };
  }

  #seated() {
    if (this.#state === "crowded") this.#enter("connecting");
    this.#connect();
  }

  /** Follows another tab, which has taken the lead. */
  #deposed() {
    this.#connection.close();
    this.#seat.leave();
    this.#connect();
  }

  /**
   * Asks why EventSource gave up, which it does not report, and if more events are to come. The
   * owner of an API token also receives a new token of the stream.
   */
  async #probe() {
    if (this.#probing) return;
    this.#connection.close();
    this.#probing = true;
    const options = { ...this.#options, attempts: 1, signal: this.#closed.signal };
    const answer = await readStream(this.id, options).catch((/** @type {unknown} */ error) => ({
      error,
    }));
    this.#probing = false;
    if (!("status" in answer)) return this.#refused(answer.error);
    const { status, last_event_id, error, token } = answer;
    this.#options.token = token;
    this.#mayListen = true;
    this.#tabs.announce();
    const finalState = KINDS[status];
    const readAll = this.#seqOf(last_event_id) === this.#seq;
    if (finalState && readAll) this.#end(finalState, error ?? undefined);
    else this.#connect();
  }

  /** @param {unknown} error */
  #refused(error) {
    if (this.#rests) return;
    if (!(error instanceof StreamError)) throw error;
    if (error.retryable) this.#connection.failed(error.retryAfter);
    else this.#end("lost", error);
  }

  /** Reads a stream that has ended without a seat, because it holds no connection for long. */
  async #openIfEnded() {
    if (this.#rests || !this.#seat.isAwaited) return;
    this.#enter("crowded");
    try {
      const options = { ...this.#options, signal: this.#closed.signal };
      const { status, token } = await readStream(this.id, options);
      this.#options.token = token;
      if (KINDS[status] && this.#seat.isAwaited && !this.#rests) this.#connection.open();
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      if (!(error instanceof StreamError)) throw error;
      if (!error.retryable) this.#end("lost", error);
    }
  }

  #check() {
    this.#connection.check();
    this.#tabs.check();
  }

  /** The page is hidden now, or shown again. */
  #turned() {
    this.#tabs.turned();
    if (isHidden()) return void this.#seat.offer();
    this.#seat.withdraw();
    if (!this.#seat.isAwaited) return this.#check();
    this.#seat.leave(); // A visible page may take a seat that a hidden one offers.
    this.#reconnect();
  }

  // Receiving

  /** Receives an event from the connection of this page. @param {Message} message */
  #receive(message) {
    const seq = this.#seqOf(message.lastEventId);
    if (!(seq > this.#seq)) return;
    if (seq > this.#seq + 1 && !this.#hasUnlistedKinds) {
      if (this.#holeAfter !== this.#seq) return this.#readHole();
      // The hole is still there, so it is an event of a kind to which this page does not listen.
      this.#hasUnlistedKinds = !told.has(this.#options.baseUrl);
    }
    const data = JSON.parse(message.data);
    this.#mayListen = true;
    this.#connection.accepted();
    this.#accept(message, data, seq);
    if (this.#closed.signal.aborted) return;
    const takenOver = message.type === "claim" && data.attempt > 1;
    this.#enter(takenOver ? "taken-over" : this.#connection.state);
  }

  /** Receives an event from another tab. @param {Relayed} event */
  #hear({ after, ...message }) {
    const seq = this.#seqOf(message.lastEventId);
    if (this.#closed.signal.aborted || !(seq > this.#seq)) return;
    if (after > this.#seq) this.#tabs.ask();
    else if (seq === this.#seq + 1 || this.#hasUnlistedKinds) {
      this.#accept(message, JSON.parse(message.data), seq);
    } else if (!this.#tabs.leads) {
      this.#readHole(); // The other tab has this hole too, and it may listen to fewer kinds.
    }
  }

  /** @param {Message} message @param {any} data @param {number} seq */
  #accept(message, data, seq) {
    const { type, lastEventId } = message;
    this.#tabs.keep({ ...message, after: this.#seq });
    this.#seq = seq;
    this.#lastEventId = lastEventId;
    if (type !== "heartbeat") this.#presence.noteNews();
    const { kinds, texts } = toldBy(this.#options.baseUrl);
    const finalState = (this.#ownKinds.has(type) ? this.#ownKinds : kinds).get(type);
    if (type === "reset" && !data.step) this.#restarts += 1;
    const part = finalState ? undefined : fold(this.parts, type, data, texts);
    this.#pass(type, data, lastEventId, part);
    if (finalState && !this.#closed.signal.aborted) {
      this.#end(finalState, type === "error" ? data : undefined);
    }
  }

  /**
   * Reads again from before a hole. The request asks the server for its kinds: the hole may be an
   * event of a kind that came with a deployment after this connection was opened.
   */
  #readHole() {
    this.#holeAfter = this.#seq;
    this.#connection.close();
    this.#enter("reconnecting");
    this.#tabs.takeLead();
    void this.#probe();
  }

  /** @param {string} kind @param {any} data @param {string} lastEventId @param {Part} [part] */
  #pass(kind, data, lastEventId, part) {
    this.dispatchEvent(new CustomEvent("event", { detail: { kind, data, lastEventId, part } }));
    if (this.#closed.signal.aborted || OWN_EVENTS.has(kind)) return;
    const type = kind === "error" ? "failure" : kind;
    this.dispatchEvent(new MessageEvent(type, { data, lastEventId }));
  }

  /** @param {string} eventId @returns {number} NaN if it is not an id of this stream */
  #seqOf(eventId) {
    const [id, seq] = eventId.split(":"); // The last event's id ends with a third part.
    return id === this.id ? Number(seq) : NaN;
  }

  /** @param {string} eventId */
  #moveTo(eventId) {
    this.#seq = this.#seqOf(eventId);
    this.#lastEventId = eventId;
  }

  // Reporting the state

  /** @param {State} state @param {Failure} [failure] */
  #enter(state, failure) {
    if (state === this.#state || FINAL.has(this.#state)) return;
    this.#state = state;
    this.#tabs.announce();
    this.dispatchEvent(new CustomEvent("state", { detail: { state, failure } }));
  }

  /** @param {State} state @param {Failure} [failure] */
  #end(state, failure) {
    this.close();
    this.#enter(state, failure);
  }
}

/**
 * The side of an LLMStream that its page, its connection, its seat and its tabs see.
 * @typedef {{type: string, data: string, lastEventId: string}} Message an event of EventSource
 * @typedef {{
 *   closed: AbortSignal,
 *   state: () => State,
 *   cursor: () => {seq: number, lastEventId: string},
 *   kinds: () => string[],
 *   mayListen: () => boolean,
 *   isCancelling: () => boolean,
 *   leave: () => void,
 *   resume: () => void,
 *   check: () => void,
 *   turned: () => void,
 *   enter: (state: State) => void,
 *   stall: () => void,
 *   connect: () => void,
 *   probe: () => void,
 *   receive: (message: Message) => void,
 *   seated: () => void,
 *   crowded: () => void,
 *   unseated: () => void,
 *   lead: () => void,
 *   deposed: () => void,
 *   hear: (event: Relayed) => void,
 *   asked: () => void,
 *   ended: () => void,
 * }} Reader
 */

/** The page of a reader: it is shown or hidden, frozen, or kept by the browser for the Back button. */
class Presence {
  #hiddenMs;
  #reader;
  #newsAt = Date.now();
  #paused = false;
  #away = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {number} hiddenMs @param {Reader} reader */
  constructor(hiddenMs, reader) {
    this.#hiddenMs = hiddenMs;
    this.#reader = reader;
    /** @param {EventTarget | undefined} target @param {string} type @param {() => void} act */
    const on = (target, type, act) =>
      target?.addEventListener(type, act, { signal: reader.closed });
    on(globalThis, "pagehide", () => this.#leave());
    on(globalThis, "pageshow", () => this.#return());
    on(globalThis.document, "freeze", () => this.#leave());
    on(globalThis.document, "resume", () => this.#return());
    on(globalThis.document, "visibilitychange", () => this.#turned());
    on(reader.closed, "abort", () => clearTimeout(this.#timer));
    if (isHidden()) this.#timer = setTimeout(() => this.#checkHidden(), hiddenMs);
  }

  /** True while the page must not read. */
  get isAbsent() {
    return this.#paused || this.#away;
  }

  noteNews() {
    this.#newsAt = Date.now();
  }

  /** Does not read until the page is shown. */
  pause() {
    if (this.#reader.closed.aborted) return;
    this.#paused = true;
    clearTimeout(this.#timer);
    this.#reader.leave();
    this.#reader.enter("paused");
  }

  /** A page that does not run must not lead other tabs, nor keep them from a seat. */
  #leave() {
    this.#away = true;
    clearTimeout(this.#timer);
    this.#reader.leave();
  }

  #return() {
    if (!this.#away) return this.#reader.check();
    this.#away = false;
    if (!isHidden()) this.#paused = false;
    this.#restart();
    this.#reader.resume();
  }

  #turned() {
    this.#restart();
    if (isHidden() || !this.#paused) return this.#reader.turned();
    this.#paused = false;
    this.#reader.resume();
  }

  #restart() {
    this.noteNews();
    this.#checkHidden();
  }

  #checkHidden() {
    clearTimeout(this.#timer);
    if (!isHidden() || this.isAbsent || this.#reader.closed.aborted) return;
    const left = this.#newsAt + this.#hiddenMs - Date.now();
    if (left <= 0) this.pause();
    else this.#timer = setTimeout(() => this.#checkHidden(), left);
  }
}

/** The connection of one page to one stream: an EventSource, and the next where that gives up. */
class Connection {
  #id;
  #options;
  #reader;
  /** @type {EventSource | undefined} */
  #source;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #drops = 0;
  #backingOff = false;
  // By the wall clock: the monotonic clock stops while the machine sleeps.
  #heardAt = 0;
  #askedAt = 0;
  #openedAt = 0;
  #brought = 0;
  #pieces = 0;

  /** @param {string} id @param {typeof DEFAULTS} options @param {Reader} reader */
  constructor(id, options, reader) {
    this.#id = id;
    this.#options = options;
    this.#reader = reader;
  }

  /** The state of a connection that brings events. @returns {State} */
  get state() {
    return this.#pieces >= PIECES_BEFORE_STEPS ? "in-steps" : "live";
  }

  open() {
    this.close();
    const { baseUrl, token, EventSource } = this.#options;
    const query = queryOf({ last_event_id: this.#reader.cursor().lastEventId, token });
    const source = new EventSource(`${baseUrl}${pathOf(this.#id)}/events${query}`);
    // A kind may be called `open` or `error`, as EventSource calls events without a message.
    /** @param {Event} event */
    const receive = (event) => event instanceof MessageEvent && this.#receive(event);
    for (const kind of this.#reader.kinds()) source.addEventListener(kind, receive);
    source.addEventListener("open", (event) => event instanceof MessageEvent || this.#opened());
    source.addEventListener("error", (event) => event instanceof MessageEvent || this.#dropped());
    this.#source = source;
    this.#heardAt = this.#askedAt = Date.now();
    this.check();
  }

  close() {
    this.#source?.close();
    this.#backingOff = false;
    clearTimeout(this.#timer);
  }

  /** Notes that an event of this connection was new to the reader. */
  accepted() {
    this.#drops = 0;
    this.#brought += 1;
    if (!this.#heldBack()) this.#pieces = 0;
  }

  /** Waits before the reader asks again why the connection was refused. */
  failed(retryAfter = 0) {
    this.#drops += 1;
    this.#backOff(retryAfter);
  }

  /** Ends the wait, because the network is there again. */
  wake() {
    if (this.#backingOff) this.#reader.probe();
  }

  /** Replaces a connection that has been silent for too long. */
  check() {
    const { readyState = 2 } = this.#source ?? {};
    if (readyState === 2) return;
    const { stalledMs, silentMs, unansweredMs } = this.#options;
    const limit = readyState === 1 ? silentMs : unansweredMs;
    const silence = Date.now() - this.#heardAt;
    if (silence >= limit) {
      this.#reader.enter("reconnecting");
      return this.#reader.connect();
    }
    const stalled = silence >= stalledMs;
    if (stalled) this.#reader.stall();
    const next = stalled ? limit : Math.min(stalledMs, limit);
    this.#wait(next - silence, () => this.check());
  }

  /** @param {MessageEvent<string>} event */
  #receive({ type, data, lastEventId }) {
    this.#heardAt = Date.now();
    this.#reader.receive({ type, data, lastEventId });
  }

  #opened() {
    this.#heardAt = this.#openedAt = Date.now();
    this.#brought = 0;
  }

  #dropped() {
    this.#heardAt = Date.now();
    const piece = this.#heldBack() && (this.#brought > 0 || this.#pieces > 0);
    this.#pieces = piece ? this.#pieces + 1 : 0;
    this.#askedAt = this.#heardAt;
    if (this.#pieces >= PIECES_BEFORE_STEPS) this.#reader.enter("in-steps");
    else if (this.#pieces === 0) this.#reader.enter("reconnecting");
    this.#drops += 1;
    if (this.#source?.readyState === 2 || this.#drops >= DROPS_BEFORE_BACKOFF) this.#backOff();
  }

  /**
   * True if this response came as a whole, after a wait. EventSource reports the end of a response
   * and a broken connection alike, but a connection rarely breaks just after it has opened.
   */
  #heldBack() {
    const wait = this.#openedAt - this.#askedAt;
    return wait >= this.#options.heldBackMs && Date.now() - this.#openedAt < wait / 4;
  }

  #backOff(retryAfter = 0) {
    this.close();
    this.#backingOff = true;
    const ms = backoff(this.#drops, this.#options, retryAfter);
    this.#wait(ms, () => this.#reader.probe());
  }

  /** @param {number} ms @param {() => void} action */
  #wait(ms, action) {
    if (this.#reader.closed.aborted) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(action, ms);
  }
}

/** The place of one reader among those that share the browser's connections to one host. */
class Seat {
  #names;
  #reader;
  #name = "";
  /** @type {AbortController | undefined} releases the seat that is held or waited for */
  #taken;
  /** @type {AbortController | undefined} */
  #offered;

  /** @param {string[]} names of all seats; none if no reader needs one @param {Reader} reader */
  constructor(names, reader) {
    this.#names = names;
    this.#reader = reader;
  }

  get isHeld() {
    return this.#names.length === 0 || this.#name !== "";
  }

  get isAwaited() {
    return this.#taken !== undefined && !this.isHeld;
  }

  async take() {
    const taken = new AbortController();
    this.#taken = taken;
    const full = () => this.#reader.crowded();
    const seat = takeSeat(this.#names, taken.signal, full, () => this.#lost());
    const name = await seat.catch(() => null);
    if (taken.signal.aborted) return;
    if (name === null)
      this.#names = []; // This page may not use locks, as some frames may not.
    else this.#name = name;
    if (isHidden()) void this.offer();
    this.#reader.seated();
  }

  leave() {
    this.#taken?.abort();
    this.withdraw();
    this.#taken = undefined;
    this.#name = "";
  }

  /** Lets visible pages take the seat, because this page is hidden. */
  async offer() {
    this.withdraw();
    if (!this.#name) return;
    const { signal } = (this.#offered = new AbortController());
    await hold(offerOf(this.#name), signal, { signal }).catch(() => {});
    // A page that already waits looked for offers before this one existed.
    if (!signal.aborted && (await isWaitedFor(this.#names)) && isHidden()) this.#lost();
  }

  withdraw() {
    this.#offered?.abort();
  }

  #lost() {
    this.leave();
    this.#reader.unseated();
  }
}

/**
 * An event that one tab relays to the others, and the position of the event before it: a tab that
 * has not seen that one has missed a message.
 * @typedef {Message & {after: number}} Relayed
 */

/**
 * The messages among tabs. `from` and `to` name tabs; without `to`, a message is for all. An answer
 * to `ask` has all events after a position that the leading tab has, and `since`: it has none up to
 * that position. A long answer comes as several messages, and the last one has `now`.
 * @typedef {{from: string, ask: number}} Asked
 * @typedef {{state: State, hidden: boolean, seq: number, kinds: string}} Announcement
 * @typedef {{from: string, to?: string, events?: Relayed[], since?: number, now?: Announcement
 * }} Told
 */

/**
 * The tabs of this origin that show one stream. One of them leads, which is to hold a lock: it
 * reads the stream and relays the events. The others wait for the lock, and the next one reads on
 * from its own last event. No event depends on the messages: each reader counts the events itself,
 * so that repeated, missing and late messages, or two leaders for a moment, do no harm. Only the
 * state of a tab that follows comes from the messages.
 *
 * Only pages of this origin receive the messages. One of them may have no token, or a token that is
 * wrong or has expired, and the server would refuse the stream to it. Each tab therefore first asks
 * the server for the stream by its own credentials, also with none. It accepts events and states
 * from other tabs only after the server has shown it the stream. No token is ever part of a message
 * or a name.
 */
class Tabs {
  #name;
  #options;
  #reader;
  #me = createKey();
  #leads = false;
  #isTaking = false;
  #since;
  /** @type {Relayed[]} the events that this tab has received, for tabs that come later */
  #events = [];
  /** @type {AbortController | undefined} releases the lock that is held or waited for */
  #joined;
  /** @type {BroadcastChannel | undefined} */
  #channel;
  #leader = "";
  #heardAt = 0;
  #askedAt = 0; // 0: no question is open
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {string} name "" if this tab shares with no other
   * @param {typeof DEFAULTS} options @param {Reader} reader
   */
  constructor(name, options, reader) {
    this.#name = name;
    this.#options = options;
    this.#reader = reader;
    this.#since = reader.cursor().seq;
    reader.closed.addEventListener("abort", () => (this.#events = []), { once: true });
  }

  get leads() {
    return this.#leads || !this.#name;
  }

  /** Waits for the lead, and receives the messages of the leading tab meanwhile. */
  join() {
    if (!this.#joined) void this.#join();
    else this.#listen();
  }

  leave() {
    this.#joined?.abort();
    this.#joined = undefined;
    this.#leads = this.#isTaking = false;
    this.#channel?.close();
    this.#channel = undefined;
    clearTimeout(this.#timer);
  }

  /** Takes the lead from another tab, which then follows. */
  takeLead() {
    if (this.leads || this.#isTaking) return;
    this.#isTaking = true;
    this.#joined?.abort();
    void this.#await({ steal: true }, (this.#joined = new AbortController()));
  }

  /** Keeps an event for tabs that come later, and relays it. @param {Relayed} event */
  keep(event) {
    if (!this.#name) return;
    this.#events.push(event);
    if (this.#leads) this.#post({ events: [event] });
  }

  /** Tells the other tabs how the leading one reads. */
  announce() {
    if (this.#leads) this.#post({ now: this.#announcement() });
  }

  /** Asks the leading tab for the events that this one has not received. */
  ask() {
    if (this.leads || this.#askedAt || !this.#channel) return;
    this.#askedAt = Date.now();
    this.#post({ ask: this.#reader.cursor().seq });
    this.check();
  }

  /** Tells the leading tab, which does not see the end while it waits for a seat. */
  tellOfEnd() {
    if (!this.leads) this.#post({ ended: true });
  }

  /** Looks at the leading tab again, because this one was shown or hidden. */
  turned() {
    this.announce();
    if (!isHidden()) this.ask();
  }

  /**
   * Asks a leading tab that has been silent, and takes the lead if it does not answer. A hidden tab
   * leaves that to visible ones, or to the time when it is shown.
   */
  check() {
    clearTimeout(this.#timer);
    if (this.leads || this.#isTaking || !this.#channel) return;
    const { stalledMs, leaderMs } = this.#options;
    const now = Date.now();
    if (this.#askedAt && now - this.#askedAt >= leaderMs && !isHidden()) {
      if (this.#reader.state() !== "connecting") this.#reader.enter("reconnecting");
      return this.takeLead();
    }
    if (!this.#askedAt && now - this.#heardAt >= stalledMs) {
      this.#reader.stall();
      return this.ask();
    }
    const at = this.#askedAt ? this.#askedAt + leaderMs : this.#heardAt + stalledMs;
    this.#timer = setTimeout(() => this.check(), Math.max(at - now, MIN_CHECK_MS));
  }

  async #join() {
    const joined = (this.#joined = new AbortController());
    if (await this.#await({ ifAvailable: true }, joined)) return;
    if (joined.signal.aborted) return;
    this.#listen();
    await this.#await({ signal: joined.signal }, joined, SETTLE_MS);
  }

  /**
   * Waits for the lock, and then leads.
   * @param {LockOptions} how @param {AbortController} joined
   * @param {number} [settleMs] time in which the last messages of the tab before arrive
   */
  async #await(how, joined, settleMs = 0) {
    const { signal } = joined;
    const held = await hold(this.#name, signal, how, () => this.#deposed()).catch(() => null);
    if (signal.aborted) return false;
    if (held === null) return this.#goAlone();
    if (held && settleMs) await pause(settleMs);
    if (!held || signal.aborted) return false;
    this.#leads = true;
    this.#isTaking = false;
    clearTimeout(this.#timer);
    this.#open();
    this.announce();
    this.#reader.lead();
    return true;
  }

  /** Reads without the others, because this page may not use locks, as some frames may not. */
  #goAlone() {
    this.leave();
    this.#name = "";
    this.#reader.lead();
    return true;
  }

  #deposed() {
    this.leave();
    this.#reader.deposed();
  }

  #listen() {
    if (this.leads || this.#isTaking) return;
    if (!this.#reader.mayListen()) return this.#reader.probe();
    this.#open();
    this.#askedAt = 0;
    this.ask();
  }

  #open() {
    if (this.#channel) return;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.addEventListener("message", ({ data }) => {
      if ("ask" in data) this.#answer(data);
      else if ("ended" in data) this.leads && this.#reader.ended();
      else if (!this.#reader.mayListen()) return;
      else if (!data.to || data.to === this.#me) this.#hear(data);
    });
    this.#heardAt = Date.now();
  }

  /** @param {Record<string, any>} message */
  #post(message) {
    this.#channel?.postMessage({ from: this.#me, ...message });
  }

  /** @returns {Announcement} */
  #announcement() {
    const { header } = toldBy(this.#options.baseUrl);
    const { seq } = this.#reader.cursor();
    return { state: this.#reader.state(), hidden: isHidden(), seq, kinds: header };
  }

  /**
   * Answers another tab. A tab that cancels has no connection meanwhile: it does not answer, so that
   * another takes the lead if the request takes long.
   * @param {Asked} question
   */
  #answer({ from, ask }) {
    if (!this.#leads || this.#reader.isCancelling()) return;
    this.#reader.asked();
    const events = this.#events.slice(this.#events.findLastIndex(({ after }) => after <= ask));
    const answer = { to: from, since: this.#since };
    let at = 0;
    for (; at + SLICE < events.length; at += SLICE) {
      this.#post({ ...answer, events: events.slice(at, at + SLICE) });
    }
    this.#post({ ...answer, events: events.slice(at), now: this.#announcement() });
  }

  /** @param {Told} message */
  #hear({ from, to, events = [], since = -1, now }) {
    this.#heardAt = Date.now();
    if (to || from !== this.#leader) this.#askedAt = 0;
    this.#leader = from;
    if (now) noteKinds(this.#options.baseUrl, now.kinds);
    if (since > this.#reader.cursor().seq) return this.takeLead();
    for (const event of events) this.#reader.hear(event);
    if (this.leads || !this.#channel) return;
    if (now && now.seq > this.#reader.cursor().seq) this.ask();
    if (now) this.#follow(now);
    this.check();
  }

  /** @param {Announcement} now */
  #follow({ state, hidden }) {
    // The browser slows a hidden page down, which then should not be the one that reconnects.
    const slow = hidden && !isHidden() && state !== "connecting" && !READING.has(state);
    if (slow) this.takeLead();
    else this.#reader.enter(state);
  }
}

const isHidden = () => globalThis.document?.hidden ?? false;

/**
 * The name of the lock and of the channel of the tabs that show this stream; "" if they share
 * nothing. Outside pages, and outside secure contexts, every reader reads by itself.
 * @param {string} id @param {typeof DEFAULTS} options
 */
function nameOfTabs(id, { baseUrl, shared }) {
  const { document, navigator, BroadcastChannel } = globalThis;
  if (!shared || !document || !navigator.locks || !BroadcastChannel) return "";
  const { href } = new URL(`${baseUrl}${pathOf(id)}`, location.href);
  return `tabs that read ${href}, protocol ${TABS_PROTOCOL}`;
}

/**
 * The names of the locks of which every reader holds one. There are none over HTTP/2, which has
 * room for all readers, nor outside secure contexts, which have no Web Locks.
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

/** The lock with which a hidden page offers its seat to others. @param {string} seat */
const offerOf = (seat) => `${seat}, offered`;

/**
 * The locks of all pages of the origin: none if this page may not list them.
 * @returns {Promise<LockManagerSnapshot>}
 */
const listLocks = () => navigator.locks.query().catch(() => ({}));

/** @param {string[]} seats */
async function isWaitedFor(seats) {
  const { pending = [] } = await listLocks();
  return pending.some(({ name = "" }) => seats.includes(name));
}

/** @param {string[]} seats @returns {Promise<string | undefined>} */
async function findOffer(seats) {
  const { held = [] } = await listLocks();
  return seats.find((seat) => held.some(({ name }) => name === offerOf(seat)));
}

/**
 * Waits for one of the locks, and holds it until `until` aborts.
 * @param {string[]} seats @param {AbortSignal} until
 * @param {() => void} full called when all locks are held by others
 * @param {() => void} lost called when another page has taken the lock
 * @returns {Promise<string>} the name of the lock; "" if `until` aborts first; rejects if this page
 *   may not use locks
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
      signal.throwIfAborted();
      if (!offer) full();
      if (!offer) throw new Error("no page offers its seat");
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
 * Holds a lock, which all pages of the origin share, until `until` aborts.
 * @param {string} name @param {AbortSignal} until @param {LockOptions} how
 * @param {() => void} [lost] called when another page has taken it
 * @returns {Promise<boolean>} true if the lock is held; rejects if `how.signal` aborts the wait
 */
function hold(name, until, how, lost = () => {}) {
  return new Promise((resolve, reject) => {
    let isHeld = false;
    const held = (/** @type {Lock | null} */ lock) => {
      isHeld = lock !== null;
      resolve(isHeld);
      if (!lock || until.aborted) return;
      return new Promise((end) => until.addEventListener("abort", end, { once: true }));
    };
    navigator.locks.request(name, how, held).catch((error) => {
      reject(error);
      if (isHeld && !until.aborted) lost();
    });
  });
}

/** @param {string} id */
const pathOf = (id) => `/streams/${encodeURIComponent(id)}`;

/** @param {Record<string, string | null>} parameters empty ones are left out */
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
 * Remembers the kinds that a server has told, such as `answer;text, source, done;terminal`.
 * @param {string} baseUrl @param {string | null} header
 */
function noteKinds(baseUrl, header) {
  if (!header || header === told.get(baseUrl)?.header) return;
  const kinds = new Map(KNOWN.kinds);
  const texts = new Set(KNOWN.texts);
  for (const item of header.split(",")) {
    const [kind, about] = item.trim().split(";");
    if (!kinds.has(kind)) kinds.set(kind, about === "terminal" ? "finished" : null);
    if (about === "text") texts.add(kind);
  }
  told.set(baseUrl, { header, kinds, texts });
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
