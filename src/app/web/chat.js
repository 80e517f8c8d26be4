// @ts-check
/**
 * The conversation that the page shows, and the actions of its reader.
 *
 * The address names its last stream. The tree of turns comes from this browser, and the texts of
 * the turns from the server.
 */
import { addressed, addressOf, secretOf } from "./address.js";
import { Opening } from "./opening.js";
import { Outbox } from "./outbox.js";
import { Shown } from "./shown.js";
import { focusVersions, versionBeside } from "./versions.js";

/** @typedef {import("./reading.js").Reading} Reading */
/** @typedef {import("./turn.js").TurnView} TurnView */

/** Refusals that do not depend on the prompt: it can be sent as a new conversation. */
const BEGIN_ANEW = new Set(["stream_not_found", "conversation_too_long", "no_conversation"]);

export class Chat {
  #page;
  /** @type {Shown} */
  #shown;
  #opening;
  #outbox;

  /** @param {import("./shown.js").Page} page */
  constructor(page) {
    this.#page = page;
    this.#shown = new Shown(page, {
      send: (turn, prompt) => this.#outbox.sendAt(turn, prompt),
      switchTo: (turn, step) => this.#switch(turn, step),
      sendLabel: () => (this.conversation.gone ? "Send again" : "Regenerate"),
      seen: (turn) => void this.#opening.readParts(turn),
      locked: (reading) => this.#lock(reading),
      again: (failure) => this.#waysOut(failure),
    });
    this.#opening = new Opening(page, this.#shown);
    this.#outbox = new Outbox(page, this.#shown);
  }

  get conversation() {
    return this.#shown.conversation;
  }

  get reading() {
    return this.#shown.reading;
  }

  get isShown() {
    return this.#shown.turns.shown.length > 0;
  }

  get prompts() {
    return this.#shown.prompts;
  }

  get link() {
    return this.#shown.link;
  }

  /** Shows the conversation that the address and this tab's history entry name. */
  route() {
    const id = addressed();
    const { sending } = history.state ?? {};
    if (sending) void this.#outbox.resume(sending);
    else if (id) void this.#opening.open(id);
    else this.#shown.clear();
  }

  /** @param {string} id of the last stream; "" for a new conversation */
  visit(id) {
    history.pushState(null, "", addressOf(id));
    this.route();
  }

  /** Sends the next turn. @param {string} prompt */
  submit(prompt) {
    this.#outbox.submit(prompt);
  }

  /** Stops the answer that is being written. */
  stop() {
    return this.#shown.stop();
  }

  /** @param {TurnView} turn @param {number} step */
  #switch(turn, step) {
    const { turns } = this.#shown;
    const before = turns.before(turn);
    const id = versionBeside(this.conversation, turn, before.at(-1)?.id ?? "", step);
    if (!id) return;
    this.visit(id);
    focusVersions(turns.shown[before.length], step);
  }

  /** Asks for the access token that a reading needs. @param {Reading} reading */
  #lock(reading) {
    const repeat = this.#outbox.repeater(reading);
    const { accessToken } = this.#page;
    const isOfLink = !repeat && secretOf(addressed()) !== "";
    if (isOfLink && accessToken.value !== null) return this.#openByToken();
    accessToken.ask(() => {
      if (reading !== this.reading) this.route();
      else if (repeat) repeat();
      else this.#openByToken();
    });
    this.#page.served.forget();
  }

  /**
   * The actions that a failure leaves to the reader.
   * @param {import("./client.js").Failure} failure @returns {import("./turn.js").Action[]}
   */
  #waysOut(failure) {
    const reading = /** @type {Reading} */ (this.reading);
    const { turn } = reading;
    const anew = {
      label: "Send as a new conversation",
      run: () => this.#outbox.sendAnew(turn.prompt),
    };
    if (failure.code === "expired") {
      const { conversation } = this;
      const remove = () => this.#page.list().forget(conversation);
      return [anew, { label: "Remove from the list", run: remove }];
    }
    const repeat = this.#outbox.repeater(reading);
    if (repeat && this.#shown.leaf && BEGIN_ANEW.has(failure.code)) return [anew];
    const canRepeat = failure.retryable || failure.code === "still_streaming";
    if (!canRepeat || !turn.prompt) return [];
    const again = () => void this.#outbox.sendAt(turn, turn.prompt);
    return [{ label: "Try again", run: repeat ?? again }];
  }

  /** Opens the address without the token of the link, which was not valid. */
  #openByToken() {
    history.replaceState(history.state, "", location.pathname + location.search);
    this.route();
  }
}
