// @ts-check
/**
 * The conversation on the page: which one it is, and what a reader does with it.
 *
 * The address names its last stream. The tree of turns is this browser's; what a turn says is the
 * server's. A prompt gets its key before it is sent, and the history entry of the tab keeps both, so
 * a reload during the request repeats it and finds its stream.
 */
import { addressed, addressOf, credentialsOf } from "./address.js";
import { createKey, createStream, readStream, StreamError } from "./client.js";
import { Conversation, turnsOf } from "./conversation.js";
import { api, ui } from "./elements.js";
import { Reading, seqOf, summaryOf } from "./reading.js";
import { EXPIRED, LOST, NOT_SENT } from "./texts.js";
import { Turns } from "./turns.js";
import { focusVersions, showVersions, versionBeside } from "./versions.js";

/** @typedef {import("./client.js").Failure} Failure */
/** @typedef {import("./turn.js").TurnView} TurnView */
/** @typedef {import("./turn.js").Action} Action */

/**
 * A prompt on its way to the server, as the history entry of the tab keeps it. `into` is the
 * conversation that it belongs to; "" for a new one.
 * @typedef {{body: {prompt: string, previous?: string}, key: string, into: string}} Sending
 *
 * What the chat asks of the page.
 * @typedef {{
 *   accessToken: import("./access.js").AccessToken,
 *   settings: import("./settings.js").Settings,
 *   served: import("./served.js").Served,
 *   conversations: import("./storage.js").Conversations,
 *   composer: () => import("./composer.js").Composer,
 *   list: () => import("./list.js").List,
 *   follower: import("./follower.js").Follower,
 *   frames: import("./frames.js").Frames,
 *   changed: () => void,
 * }} Page
 */

/** Refusals that do not depend on the prompt: it can be sent as a new conversation. */
const BEGIN_ANEW = new Set(["stream_not_found", "conversation_too_long"]);
const RUNNING = new Set(["streaming", "waiting"]);

export class Chat {
  conversation = new Conversation();
  /** @type {Reading | undefined} */
  reading;
  #page;
  #turns;
  #leaf = "";
  /** @type {string | null} the token of the last stream */
  #token = null;
  /** @type {Sending | null} */
  #sending = null;
  #stopRequested = false;

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
    const commands = {
      send: (/** @type {TurnView} */ turn, /** @type {string} */ text) => this.#sendAt(turn, text),
      switchTo: (/** @type {TurnView} */ turn, /** @type {number} */ step) =>
        this.#switch(turn, step),
      sendLabel: () => (this.conversation.gone ? "Send again" : "Regenerate"),
    };
    this.#turns = new Turns(
      commands,
      (turn) => void this.#readParts(turn),
      () => page.follower.grown(),
    );
  }

  get isShown() {
    return this.#turns.shown.length > 0;
  }

  get prompts() {
    return this.#turns.shown.map(({ prompt }) => prompt).filter(Boolean);
  }

  /** The address under which others can read the conversation; "" before there is one. */
  get link() {
    const secret = this.#token ? `#${encodeURIComponent(this.#token)}` : "";
    return this.#leaf && `${location.origin}${location.pathname}${addressOf(this.#leaf)}${secret}`;
  }

  // Where the address leads

  /** Shows the conversation that the address and this tab's history entry name. */
  route() {
    const id = addressed();
    const { sending } = history.state ?? {};
    if (sending) void this.#sendAgain(sending);
    else if (id) void this.#open(id);
    else this.#close();
  }

  /** @param {string} id of the last stream; "" for a new conversation */
  visit(id) {
    history.pushState(null, "", addressOf(id));
    this.route();
  }

  #close() {
    this.reading?.close();
    this.reading = undefined;
    this.conversation = new Conversation();
    this.#leaf = "";
    this.#token = null;
    this.#sending = null;
    this.#turns.clear();
    this.#page.composer().showRunning(false);
    this.#page.follower.follow(false);
    this.#page.changed();
    scrollTo(0, 0);
  }

  /** @param {string} id */
  async #open(id) {
    const reading = this.#show(id);
    try {
      const options = { ...api, ...credentialsOf(id, this.#page.accessToken), attempts: 1 };
      const snapshot = await readStream(id, options);
      if (reading !== this.reading) return;
      this.#learn(snapshot, reading.turn);
      // A conversation is read on at its end, and a single answer that is complete from its start.
      this.#page.follower.follow(RUNNING.has(snapshot.status) || this.#turns.shown.length > 1);
      this.#token = snapshot.token;
      const credentials = { ...credentialsOf(id, this.#page.accessToken), token: snapshot.token };
      reading.follow(id, credentials, seqOf(snapshot.last_event_id));
    } catch (error) {
      if (reading !== this.reading) return;
      if (!(error instanceof StreamError)) throw error;
      if (error.retryable) this.#followBlindly(id, reading);
      else this.#lose(error, reading);
    }
  }

  /** Shows what this browser knows of a stream, until the server tells more. @param {string} id */
  #show(id) {
    const known = this.#page.conversations.find(id);
    if (!known || known.id !== this.conversation.id) this.#turns.clear();
    this.conversation = known ?? new Conversation();
    const path = this.conversation.path(id);
    const turn = this.#turns.make(id, path.at(-1)?.prompt ?? "");
    this.#leaf = id;
    this.#token = null;
    this.#sending = null;
    this.#turns.show(path.slice(0, -1), turn);
    return this.#begin(new Reading(this.#ways, turn, false));
  }

  /** @param {any} snapshot @param {TurnView} last */
  #learn(snapshot, last) {
    const told = turnsOf(snapshot);
    const own = told.at(-1)?.prompt;
    if (own) last.showPrompt(own);
    const isKept = this.#page.conversations.find(snapshot.id) !== undefined;
    this.conversation.learn(told);
    this.conversation.shown = snapshot.id;
    this.conversation.gone = false;
    if (isKept) this.#page.conversations.save(this.conversation);
    this.#turns.show(told.slice(0, -1), last);
    this.#changed();
  }

  /** The server does not answer now. Its first event shows that it does again. */
  #followBlindly(/** @type {string} */ id, /** @type {Reading} */ reading) {
    const credentials = credentialsOf(id, this.#page.accessToken);
    reading.follow(id, credentials, Infinity);
    const learn = async () => {
      const snapshot = await readStream(id, { ...api, ...credentials }).catch(() => null);
      if (snapshot && reading === this.reading) this.#learn(snapshot, reading.turn);
    };
    reading.stream?.addEventListener("start", () => void learn(), { once: true });
  }

  /** @param {StreamError} error @param {Reading} reading */
  #lose(error, reading) {
    const isGone = error.status === 404 && this.conversation.turns.length > 0;
    if (!isGone) {
      this.#leaf = ""; // The next prompt begins a conversation.
      this.#page.changed();
      return reading.fail(error, "lost", error.status === 404 ? LOST : undefined);
    }
    this.conversation.gone = true;
    this.#page.conversations.save(this.conversation);
    for (const turn of this.#turns.shown) turn.showRunning(false);
    reading.fail({ code: "expired", message: error.message, retryable: false }, "lost", EXPIRED);
    this.#changed();
  }

  // Sending

  /** Sends the next turn. @param {string} prompt */
  submit(prompt) {
    if (this.conversation.gone) this.#send(prompt, "", "");
    else this.#send(prompt, this.#leaf, this.conversation.id);
  }

  /** Sends another version of a turn. @param {TurnView} turn @param {string} prompt */
  #sendAt(turn, prompt) {
    if (this.conversation.gone) return this.#send(prompt, "", "");
    this.#send(prompt, this.#turns.before(turn).at(-1)?.id ?? "", this.conversation.id);
  }

  /** @param {string} prompt @param {string} previous @param {string} into */
  #send(prompt, previous, into) {
    if (this.reading?.running) return this.reading.refuse();
    const body = { prompt, ...(previous && { previous }), ...this.#page.settings.request };
    const sending = { body, key: createKey(), into };
    // Before the request: a reload during the request repeats it, and the key finds its stream.
    const address = addressOf(previous) + (previous && location.hash);
    history.pushState({ sending }, "", address);
    this.#page.composer().clear();
    void this.#ask(sending);
  }

  /** After a reload. @param {Sending} sending */
  async #sendAgain(sending) {
    const { previous = "" } = sending.body;
    this.#close();
    const entry = history.state;
    if (previous) {
      const options = { ...api, ...credentialsOf(previous, this.#page.accessToken), attempts: 1 };
      const snapshot = await readStream(previous, options).catch(() => null);
      if (history.state !== entry) return;
      this.#leaf = previous;
      this.conversation = this.#page.conversations.find(previous) ?? new Conversation();
      const answer = snapshot?.answer ?? "";
      const told = snapshot ? turnsOf(snapshot) : this.conversation.path(previous);
      this.conversation.learn(/** @type {any} */ (told));
      const last = told.at(-1);
      if (last)
        this.#turns.show([...told.slice(0, -1), { ...last, answer }], this.#turns.make("", ""));
    }
    void this.#ask(sending);
  }

  /** @param {Sending} sending */
  async #ask(sending) {
    const { body, key } = sending;
    const { previous = "", prompt } = body;
    this.#prepare(sending);
    const { conversation } = this;
    const turn = this.#turns.shown.at(-1) ?? this.#turns.make("", prompt);
    const reading = this.#begin(new Reading(this.#ways, turn, true));
    try {
      const { bearer } = { bearer: this.#page.accessToken.value };
      const { id, token } = await createStream(body, { ...api, bearer, idempotencyKey: key });
      conversation.add({ id, previous, prompt, at: Date.now() });
      conversation.shown = id;
      this.#page.conversations.save(conversation);
      if (reading !== this.reading) return this.#page.changed();
      this.#sending = null;
      turn.id = this.#leaf = id;
      this.#token = token;
      const { sending: _, ...state } = history.state ?? {};
      history.replaceState(state, "", addressOf(id));
      reading.follow(id, { bearer, token });
      this.#changed();
      if (this.#stopRequested) await this.stop();
    } catch (error) {
      if (reading !== this.reading) return;
      if (!(error instanceof StreamError)) throw error;
      if (error.code !== "unauthorized") this.#page.composer().giveBack(prompt);
      reading.fail(error, "failed", previous ? NOT_SENT[error.code] : undefined);
    }
  }

  /** Shows the turns up to the one that is sent, and its prompt. @param {Sending} sending */
  #prepare(sending) {
    const { previous = "", prompt } = sending.body;
    const known = this.#page.conversations.all.find(({ id }) => id === sending.into);
    if (sending.into !== this.conversation.id || !sending.into) {
      this.conversation = known ?? new Conversation();
    }
    const at = this.#turns.shown.findIndex(({ id }) => id !== "" && id === previous);
    const turn = this.#turns.make("", prompt);
    this.#sending = sending;
    this.#stopRequested = false;
    this.#turns.show(this.#turns.shown.slice(0, at + 1), turn);
  }

  /** @param {Reading} reading */
  #begin(reading) {
    this.reading?.close();
    this.reading = reading;
    this.#page.composer().showRunning(true);
    this.#page.follower.follow();
    this.#changed();
    return reading;
  }

  // What a reading asks

  /** @returns {import("./reading.js").Page} */
  get #ways() {
    const { frames, follower } = this.#page;
    return {
      frames,
      follower,
      rested: () => this.#page.composer().showRunning(false),
      locked: (reading) => this.#lock(reading),
      again: (failure) => this.#again(failure),
    };
  }

  /** @param {Reading} reading */
  #lock(reading) {
    const sending = this.#sending;
    this.#page.accessToken.ask(() => {
      if (reading !== this.reading) this.route();
      else if (sending) void this.#ask(sending);
      else this.#openByToken();
    });
    this.#page.served.forget();
  }

  /** Without the token of the link, which was not valid. */
  #openByToken() {
    history.replaceState(history.state, "", location.pathname + location.search);
    this.route();
  }

  /** What a reader can do about a failure. @param {Failure} failure @returns {Action[]} */
  #again(failure) {
    const sending = this.#sending;
    const { turn } = /** @type {Reading} */ (this.reading);
    const anew = {
      label: "Send as a new conversation",
      run: () => this.#send(turn.prompt, "", ""),
    };
    if (failure.code === "expired") {
      const { conversation } = this;
      const remove = () => this.#page.list().forget(conversation);
      return [anew, { label: "Remove from the list", run: remove }];
    }
    if (sending?.body.previous && BEGIN_ANEW.has(failure.code)) return [anew];
    const canRepeat = failure.retryable || failure.code === "still_streaming";
    if (!canRepeat || !turn.prompt) return [];
    const run = () => (sending ? void this.#ask(sending) : this.#sendAt(turn, turn.prompt));
    return [{ label: "Try again", run }];
  }

  // Other actions

  async stop() {
    const { reading } = this;
    if (!reading?.running) return;
    this.#stopRequested = true;
    this.#page.composer().showStopping(true);
    try {
      await reading.stream?.cancel();
    } catch (error) {
      if (reading !== this.reading || !reading.running) return;
      this.#page.composer().showStopping(false);
      const { message } = /** @type {Error} */ (error);
      const again = { label: "Try again", run: () => void this.stop() };
      reading.turn.showError(`Not stopped. ${message}`, [again]);
    }
  }

  /** @param {TurnView} turn @param {number} step */
  #switch(turn, step) {
    const before = this.#turns.before(turn);
    const id = versionBeside(this.conversation, turn, before.at(-1)?.id ?? "", step);
    if (!id) return;
    this.visit(id);
    focusVersions(this.#turns.shown[before.length], step);
  }

  /** The parts of a turn before the last one, where this browser may read them. */
  async #readParts(/** @type {TurnView} */ turn) {
    const { accessToken, served } = this.#page;
    if (!accessToken.value && !served.isOpen) return;
    const options = { ...api, bearer: accessToken.value, attempts: 1 };
    const snapshot = await readStream(turn.id, options).catch(() => null);
    if (!snapshot) return;
    const others = snapshot.parts?.some(({ kind }) => kind !== "answer");
    if (others) turn.parts.keep(snapshot.parts);
    turn.showSummary(summaryOf(snapshot));
    turn.showRunning(false);
    this.#turns.fill(turn);
  }

  #changed() {
    showVersions(this.conversation, this.#turns.shown);
    ui.title.textContent = this.conversation.title || (this.prompts[0] ?? "Conversation");
    this.#page.changed();
  }
}
