// @ts-check
/**
 * Prompts on their way to the server.
 *
 * A prompt gets its key before it is sent, and the history entry of the tab keeps both, so a reload
 * during the request repeats it and finds its stream.
 */
import { addressOf, credentialsOf } from "./address.js";
import { createKey, createStream, readStream, StreamError } from "./client.js";
import { Conversation, turnsOf } from "./conversation.js";
import { api } from "./elements.js";
import { NOT_SENT } from "./texts.js";

/** @typedef {import("./reading.js").Reading} Reading */
/** @typedef {import("./turn.js").TurnView} TurnView */

/**
 * A prompt as the history entry of the tab keeps it. `into` is the conversation that it belongs to;
 * "" for a new one.
 * @typedef {{body: {prompt: string, previous?: string}, key: string, into: string}} Sending
 */

/** Refusals that do not depend on the prompt: it can be sent as a new conversation. */
const BEGIN_ANEW = new Set(["stream_not_found", "conversation_too_long"]);

export class Outbox {
  #page;
  #shown;
  /** @type {Sending | null} */
  #sending = null;
  /** @type {Reading | undefined} of the prompt that is sent */
  #reading;

  /** @param {import("./shown.js").Page} page @param {import("./shown.js").Shown} shown */
  constructor(page, shown) {
    this.#page = page;
    this.#shown = shown;
  }

  /** Sends the next turn. @param {string} prompt */
  submit(prompt) {
    const { conversation, leaf } = this.#shown;
    if (conversation.gone) this.#send(prompt, "", "");
    else this.#send(prompt, leaf, conversation.id);
  }

  /** Sends another version of a turn. @param {TurnView} turn @param {string} prompt */
  sendAt(turn, prompt) {
    const { conversation, turns } = this.#shown;
    if (conversation.gone) this.#send(prompt, "", "");
    else this.#send(prompt, turns.before(turn).at(-1)?.id ?? "", conversation.id);
  }

  /** Sends a prompt again after a reload. @param {Sending} sending */
  async resume(sending) {
    const { previous = "" } = sending.body;
    this.#shown.clear();
    const entry = history.state;
    if (previous) {
      const credentials = credentialsOf(previous, this.#page.accessToken);
      const options = { ...api, ...credentials, attempts: 1 };
      const snapshot = await readStream(previous, options).catch(() => null);
      if (history.state !== entry) return;
      const conversation = this.#page.conversations.find(previous) ?? new Conversation();
      this.#shown.leaf = previous;
      this.#shown.conversation = conversation;
      const answer = snapshot?.answer ?? "";
      const told = snapshot ? turnsOf(snapshot) : conversation.path(previous);
      conversation.learn(/** @type {any} */ (told));
      const last = told.at(-1);
      const { turns } = this.#shown;
      if (last) turns.show([...told.slice(0, -1), { ...last, answer }], turns.make("", ""));
    }
    void this.#ask(sending);
  }

  /**
   * Repeats the request of a reading that the server has refused.
   * @param {Reading} reading @returns {(() => void) | undefined} none if its prompt has a stream
   */
  repeater(reading) {
    const sending = this.#sending;
    if (sending && reading === this.#reading) return () => void this.#ask(sending);
  }

  /**
   * What a reader can do about a failure.
   * @param {import("./client.js").Failure} failure @returns {import("./turn.js").Action[]}
   */
  waysOut(failure) {
    const reading = /** @type {Reading} */ (this.#shown.reading);
    const { turn } = reading;
    const anew = {
      label: "Send as a new conversation",
      run: () => this.#send(turn.prompt, "", ""),
    };
    if (failure.code === "expired") {
      const { conversation } = this.#shown;
      const remove = () => this.#page.list().forget(conversation);
      return [anew, { label: "Remove from the list", run: remove }];
    }
    const repeat = this.repeater(reading);
    if (repeat && this.#sending?.body.previous && BEGIN_ANEW.has(failure.code)) return [anew];
    const canRepeat = failure.retryable || failure.code === "still_streaming";
    if (!canRepeat || !turn.prompt) return [];
    return [{ label: "Try again", run: repeat ?? (() => this.sendAt(turn, turn.prompt)) }];
  }

  /** @param {string} prompt @param {string} previous @param {string} into */
  #send(prompt, previous, into) {
    const { reading } = this.#shown;
    if (reading?.running) return reading.refuse();
    const body = { prompt, ...(previous && { previous }), ...this.#page.settings.request };
    const sending = { body, key: createKey(), into };
    // Before the request: a reload during the request repeats it, and the key finds its stream.
    history.pushState({ sending }, "", addressOf(previous) + (previous && location.hash));
    this.#page.composer().clear();
    void this.#ask(sending);
  }

  /** @param {Sending} sending */
  async #ask(sending) {
    const { body, key } = sending;
    const { previous = "", prompt } = body;
    const reading = this.#prepare(sending);
    const { turn } = reading;
    const { conversation } = this.#shown;
    try {
      const bearer = this.#page.accessToken.value;
      const { id, token } = await createStream(body, { ...api, bearer, idempotencyKey: key });
      conversation.add({ id, previous, prompt, at: Date.now() });
      conversation.shown = id;
      this.#page.conversations.save(conversation);
      if (reading !== this.#shown.reading) return this.#page.changed();
      this.#sending = null;
      turn.id = this.#shown.leaf = id;
      this.#shown.token = token;
      const { sending: _, ...state } = history.state ?? {};
      history.replaceState(state, "", addressOf(id));
      reading.follow(id, { bearer, token });
      this.#shown.changed();
      if (reading.stopping) await this.#shown.stop();
    } catch (error) {
      if (reading !== this.#shown.reading) return;
      if (!(error instanceof StreamError)) throw error;
      if (error.code !== "unauthorized") this.#page.composer().giveBack(prompt);
      reading.fail(error, "failed", previous ? NOT_SENT[error.code] : undefined);
    }
  }

  /** Shows the turns up to the one that is sent, and its prompt. @param {Sending} sending */
  #prepare(sending) {
    const { previous = "", prompt } = sending.body;
    const { turns, conversation } = this.#shown;
    const known = this.#page.conversations.all.find(({ id }) => id === sending.into);
    if (sending.into !== conversation.id || !sending.into) {
      this.#shown.conversation = known ?? new Conversation();
    }
    const at = turns.shown.findIndex(({ id }) => id !== "" && id === previous);
    const turn = turns.make("", prompt);
    turns.show(turns.shown.slice(0, at + 1), turn);
    this.#sending = sending;
    this.#reading = this.#shown.begin(turn, true);
    return this.#reading;
  }
}
