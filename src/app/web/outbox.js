// @ts-check
/**
 * Prompts on their way to the server.
 *
 * A prompt gets its key before it is sent, and the history entry of the tab keeps both, so a reload
 * during the request repeats it and finds its stream.
 */
import { addressOf, credentialsOf, secretOf } from "./address.js";
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

  /** Sends a prompt as the first turn of a conversation. @param {string} prompt */
  sendAnew(prompt) {
    this.#send(prompt, "", "");
  }

  /** Sends the next turn. @param {string} prompt */
  submit(prompt) {
    const { conversation, leaf } = this.#shown;
    if (conversation.gone) this.sendAnew(prompt);
    else this.#send(prompt, leaf, conversation.id);
  }

  /**
   * Sends another version of a turn.
   * @param {TurnView} turn @param {string} prompt @returns {boolean} false if it has to wait
   */
  sendAt(turn, prompt) {
    const { conversation, turns } = this.#shown;
    if (conversation.gone) return this.#send(prompt, "", "");
    return this.#send(prompt, turns.before(turn).at(-1)?.id ?? "", conversation.id);
  }

  /** Sends a prompt again after a reload. @param {Sending} sending */
  async resume(sending) {
    const { previous = "", prompt } = sending.body;
    this.#shown.clear();
    if (!previous) return this.#ask(sending);
    const conversation = this.#page.conversations.find(previous) ?? new Conversation();
    this.#shown.conversation = conversation;
    const { turns } = this.#shown;
    const reading = this.#begin(sending, conversation.path(previous), turns.make("", prompt));
    const options = { ...api, ...credentialsOf(previous, this.#page.accessToken), attempts: 1 };
    const snapshot = await readStream(previous, options).catch(() => null);
    if (reading !== this.#shown.reading) return;
    if (snapshot) {
      const told = turnsOf(snapshot);
      conversation.learn(told);
      told[told.length - 1].answer = snapshot.answer ?? "";
      turns.show(told, reading.turn);
      this.#shown.changed();
    }
    await this.#create(sending, reading);
  }

  /**
   * Repeats the request of a reading that the server has refused.
   * @param {Reading} reading @returns {(() => void) | undefined} none if its prompt has a stream
   */
  repeater(reading) {
    const sending = this.#sending;
    if (!sending || reading !== this.#reading) return;
    return () => {
      this.#page.composer().takeBack(sending.body.prompt);
      void this.#ask(sending);
    };
  }

  /**
   * @param {string} prompt @param {string} previous @param {string} into
   * @returns {boolean} false if it has to wait for the end of an answer
   */
  #send(prompt, previous, into) {
    const { reading } = this.#shown;
    if (reading?.running) {
      reading.refuse();
      return false;
    }
    const body = { prompt, ...(previous && { previous }), ...this.#page.settings.request };
    const sending = { body, key: createKey(), into };
    // Before the request: a reload during the request repeats it, and the key finds its stream.
    history.pushState({ sending }, "", addressOf(previous) + secretOf(previous));
    this.#page.composer().clear();
    void this.#ask(sending);
    return true;
  }

  /** Shows the turns up to the one that is sent, and sends it. @param {Sending} sending */
  #ask(sending) {
    const { previous = "", prompt } = sending.body;
    const { turns, conversation } = this.#shown;
    if (sending.into !== conversation.id || !sending.into) {
      const known = this.#page.conversations.all.find(({ id }) => id === sending.into);
      this.#shown.conversation = known ?? new Conversation();
    }
    const at = turns.shown.findIndex(({ id }) => id !== "" && id === previous);
    const reading = this.#begin(sending, turns.shown.slice(0, at + 1), turns.make("", prompt));
    return this.#create(sending, reading);
  }

  /**
   * Shows a prompt that is on its way.
   * @param {Sending} sending @param {import("./turns.js").Told[]} earlier @param {TurnView} turn
   */
  #begin(sending, earlier, turn) {
    const { previous = "" } = sending.body;
    this.#shown.turns.show(earlier, turn);
    // If the server refuses it, the next prompt follows the turn that the page shows.
    if (previous !== this.#shown.leaf) this.#shown.token = null;
    this.#shown.leaf = previous;
    this.#sending = sending;
    this.#reading = this.#shown.begin(turn, true);
    return this.#reading;
  }

  /** @param {Sending} sending @param {Reading} reading */
  async #create({ body, key }, reading) {
    const { previous = "", prompt } = body;
    const { conversation } = this.#shown;
    try {
      const bearer = this.#page.accessToken.value;
      const { id, token } = await createStream(body, { ...api, bearer, idempotencyKey: key });
      conversation.add({ id, previous, prompt, at: Date.now() });
      conversation.shown = id;
      if (!conversation.isForgotten) this.#page.conversations.save(conversation);
      if (reading !== this.#shown.reading) {
        return this.#page.list().show(this.#shown.conversation);
      }
      this.#sending = null;
      reading.turn.id = this.#shown.leaf = id;
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
}
