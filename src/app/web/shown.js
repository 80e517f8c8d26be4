// @ts-check
/** What the page shows: one conversation, its turns, and the reading of the last one. */
import { addressOf } from "./address.js";
import { Conversation } from "./conversation.js";
import { ui } from "./elements.js";
import { Reading } from "./reading.js";
import { Turns } from "./turns.js";
import { showVersions } from "./versions.js";

/** @typedef {import("./client.js").Failure} Failure */
/** @typedef {import("./turn.js").TurnView} TurnView */

/**
 * What the conversation asks of the page.
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
 *
 * What its turns and their readings ask of the chat.
 * @typedef {import("./turn.js").Commands & {
 *   seen: (turn: TurnView) => void,
 *   locked: (reading: Reading) => void,
 *   again: (failure: Failure) => import("./turn.js").Action[],
 * }} Commands
 */

export class Shown {
  conversation = new Conversation();
  /** @type {Reading | undefined} */
  reading;
  /** The last stream, which the next prompt follows; "" if the next prompt begins a conversation. */
  leaf = "";
  /** @type {string | null} the token of the last stream */
  token = null;
  turns;
  #page;
  #commands;

  /** @param {Page} page @param {Commands} commands */
  constructor(page, commands) {
    this.#page = page;
    this.#commands = commands;
    this.turns = new Turns(commands, commands.seen, () => page.follower.grown());
  }

  get prompts() {
    return this.turns.shown.map(({ prompt }) => prompt).filter(Boolean);
  }

  /** The address under which others can read the conversation; "" before there is one. */
  get link() {
    const secret = this.token ? `#${encodeURIComponent(this.token)}` : "";
    return this.leaf && `${location.origin}${location.pathname}${addressOf(this.leaf)}${secret}`;
  }

  /** Shows nothing: a new conversation. */
  clear() {
    this.reading?.close();
    this.reading = undefined;
    this.conversation = new Conversation();
    this.leaf = "";
    this.token = null;
    this.turns.clear();
    this.#page.composer().showRunning(false);
    this.#page.follower.follow(false);
    this.#page.changed();
    scrollTo(0, 0);
  }

  /**
   * Begins to read the last turn, and reads no other any more.
   * @param {TurnView} turn @param {boolean} fromSend
   */
  begin(turn, fromSend) {
    const { frames, follower, composer } = this.#page;
    const { locked, again } = this.#commands;
    const rested = () => composer().showRunning(false);
    const reading = new Reading({ frames, follower, rested, locked, again }, turn, fromSend);
    this.reading?.close();
    this.reading = reading;
    composer().showRunning(true);
    follower.follow();
    this.changed();
    return reading;
  }

  /** Stops the answer that is being written, or will be once its prompt has arrived. */
  async stop() {
    const { reading } = this;
    if (!reading?.running) return;
    reading.stopping = true;
    reading.turn.hideError();
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

  /** Shows the versions of the turns, and the title, after a change of the conversation. */
  changed() {
    showVersions(this.conversation, this.turns.shown);
    ui.title.textContent = this.conversation.title || (this.prompts[0] ?? "Conversation");
    this.#page.changed();
  }
}
