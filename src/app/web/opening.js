// @ts-check
/** The way from an address to its conversation: this browser's turns first, then the server's. */
import { credentialsOf } from "./address.js";
import { readStream, StreamError } from "./client.js";
import { Conversation, turnsOf } from "./conversation.js";
import { api } from "./elements.js";
import { seqOf, summaryOf } from "./reading.js";
import { EXPIRED, LOST } from "./texts.js";

/** @typedef {import("./reading.js").Reading} Reading */
/** @typedef {import("./turn.js").TurnView} TurnView */

const RUNNING = new Set(["streaming", "waiting"]);

export class Opening {
  #page;
  #shown;

  /** @param {import("./shown.js").Page} page @param {import("./shown.js").Shown} shown */
  constructor(page, shown) {
    this.#page = page;
    this.#shown = shown;
  }

  /** Shows the conversation that ends with a stream. @param {string} id */
  async open(id) {
    const reading = this.#show(id);
    try {
      const credentials = credentialsOf(id, this.#page.accessToken);
      const snapshot = await readStream(id, { ...api, ...credentials, attempts: 1 });
      if (reading !== this.#shown.reading) return;
      this.#learn(snapshot, reading.turn);
      // A conversation is read on at its end, and a single answer that is complete from its start.
      const isOne = this.#shown.turns.shown.length === 1;
      this.#page.follower.follow(RUNNING.has(snapshot.status) || !isOne);
      const { token } = snapshot;
      this.#shown.token = token;
      reading.follow(id, { ...credentials, token }, seqOf(snapshot.last_event_id));
    } catch (error) {
      if (reading !== this.#shown.reading) return;
      if (!(error instanceof StreamError)) throw error;
      if (error.retryable) this.#followBlindly(id, reading);
      else this.#lose(error, reading);
    }
  }

  /** Shows the parts of a turn before the last one, where this browser may read them. */
  async readParts(/** @type {TurnView} */ turn) {
    const { accessToken, served } = this.#page;
    if (!accessToken.value && !served.isOpen) return;
    const options = { ...api, bearer: accessToken.value, attempts: 1 };
    const snapshot = await readStream(turn.id, options).catch(() => null);
    if (!snapshot) return;
    const others = snapshot.parts?.some(({ kind }) => kind !== "answer");
    if (others) turn.parts.keep(snapshot.parts);
    turn.showSummary(summaryOf(snapshot));
    turn.showRunning(false);
    this.#shown.turns.fill(turn);
  }

  /** Shows the turns that this browser knows, until the server answers. @param {string} id */
  #show(id) {
    const { turns, conversation } = this.#shown;
    const known = this.#page.conversations.find(id);
    if (!known || known.id !== conversation.id) turns.clear();
    this.#shown.conversation = known ?? new Conversation();
    this.#shown.leaf = id;
    this.#shown.token = null;
    const path = this.#shown.conversation.path(id);
    const turn = turns.make(id, path.at(-1)?.prompt ?? "");
    turns.show(path.slice(0, -1), turn);
    return this.#shown.begin(turn, false);
  }

  /** @param {any} snapshot @param {TurnView} last */
  #learn(snapshot, last) {
    const { conversation, turns } = this.#shown;
    const told = turnsOf(snapshot);
    const own = told.at(-1)?.prompt;
    if (own) last.showPrompt(own);
    const isKept = this.#page.conversations.find(snapshot.id) !== undefined;
    conversation.learn(told);
    conversation.shown = snapshot.id;
    conversation.gone = false;
    if (isKept) this.#page.conversations.save(conversation);
    turns.show(told.slice(0, -1), last);
    this.#shown.changed();
  }

  /** The server does not answer now. Its first event shows that it does again. */
  #followBlindly(/** @type {string} */ id, /** @type {Reading} */ reading) {
    const credentials = credentialsOf(id, this.#page.accessToken);
    reading.follow(id, credentials, Infinity);
    const learn = async () => {
      const snapshot = await readStream(id, { ...api, ...credentials }).catch(() => null);
      if (snapshot && reading === this.#shown.reading) this.#learn(snapshot, reading.turn);
    };
    reading.stream?.addEventListener("start", () => void learn(), { once: true });
  }

  /** @param {StreamError} error @param {Reading} reading */
  #lose(error, reading) {
    const { conversation, turns } = this.#shown;
    const isGone = error.status === 404 && conversation.turns.length > 0;
    if (!isGone) {
      this.#shown.leaf = ""; // The next prompt begins a conversation.
      this.#page.changed();
      return reading.fail(error, "lost", error.status === 404 ? LOST : undefined);
    }
    conversation.gone = true;
    this.#page.conversations.save(conversation);
    for (const turn of turns.shown) turn.showRunning(false);
    reading.fail({ code: "expired", message: error.message, retryable: false }, "lost", EXPIRED);
    this.#shown.changed();
  }
}
