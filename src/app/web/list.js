// @ts-check
/** The list of the conversations that this browser keeps. */
import { addressOf } from "./address.js";
import { announcer } from "./announcer.js";
import { button, made, ui } from "./elements.js";

/** @typedef {import("./conversation.js").Conversation} Conversation */

export class List {
  #conversations;
  #commands;
  /** @type {Conversation | undefined} */
  #current;
  /** @type {Conversation | undefined} the one that was deleted last */
  #forgotten;

  /**
   * @param {import("./storage.js").Conversations} conversations
   * @param {{open: (id: string) => void, forgotten: (it: Conversation) => void}} commands
   */
  constructor(conversations, commands) {
    this.#conversations = conversations;
    this.#commands = commands;
    conversations.addEventListener("change", () => this.show(this.#current));
    ui.undo.addEventListener("click", () => this.#undo());
    this.show(undefined);
  }

  /** @param {Conversation | undefined} current the one on the page */
  show(current) {
    this.#current = current;
    const all = this.#conversations.all;
    ui.conversations.replaceChildren(...all.map((each) => this.#item(each)));
    ui.conversations.hidden = all.length === 0;
    ui.none.hidden = all.length > 0;
  }

  /** Forgets a conversation in this browser, and says so. @param {Conversation} it */
  forget(it) {
    this.#conversations.forget(it);
    this.#forgotten = it;
    const still = it.gone ? "" : " Its address works until it expires.";
    ui["forgotten-title"].textContent = `Forgotten in this browser: “${it.title}”.${still}`;
    ui.forgotten.hidden = false;
    announcer.say("Conversation forgotten in this browser.");
    this.show(this.#current);
    this.#commands.forgotten(it);
    ui.undo.focus();
  }

  #undo() {
    if (this.#forgotten) this.#conversations.save(this.#forgotten);
    ui.forgotten.hidden = true;
    announcer.say("Conversation is back.");
    this.show(this.#current);
    ui.new.focus();
  }

  /** @param {Conversation} it */
  #item(it) {
    const item = made("li");
    const link = document.createElement("a");
    const id = it.has(it.shown) ? it.shown : it.newest("");
    link.href = addressOf(id);
    link.textContent = it.title || "Conversation";
    link.title = link.textContent;
    link.dir = "auto";
    if (it.id === this.#current?.id) link.ariaCurrent = "page";
    link.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return; // a new tab or window
      event.preventDefault();
      this.#commands.open(id);
    });
    item.append(link);
    if (it.gone) item.append(made("span", "muted", "expired"));
    const remove = button(it.gone ? "Remove" : "", () => this.forget(it), "quiet delete");
    remove.ariaLabel = `${it.gone ? "Remove" : "Delete"} “${link.textContent}”`;
    remove.dataset.testid = "delete";
    item.append(remove);
    return item;
  }
}
