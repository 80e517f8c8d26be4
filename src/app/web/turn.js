// @ts-check
/** One turn on the page: a prompt, its answer, and the actions of its reader. */
import { announcer } from "./announcer.js";
import { button, growing, ui } from "./elements.js";
import { Parts } from "./parts.js";
import { inWords } from "./texts.js";

/** @typedef {import("./client.js").Part} Part */

/**
 * The actions of a turn. `send` returns false if the prompt has to wait.
 * @typedef {{
 *   send: (turn: TurnView, prompt: string) => boolean,
 *   switchTo: (turn: TurnView, step: number) => void,
 *   sendLabel: () => string,
 * }} Commands
 *
 * @typedef {{label: string, run: () => void}} Action
 */

const COPIED_MS = 2_000;
/** Characters; shorter prompts have room, unless they have many lines. */
const LONG_PROMPT = 150;

export class TurnView {
  element;
  /** True if the whole answer is there, so that it need not be read again. */
  isComplete = false;
  /** False if the turn before it is no stream, which another version could follow. */
  canBranch = true;
  parts;
  prompt = "";
  #thought = 0;
  #at;
  #commands;

  /**
   * @param {string} id of its stream; "" while it has none
   * @param {string} prompt @param {Commands} commands
   */
  constructor(id, prompt, commands) {
    this.id = id;
    this.#commands = commands;
    this.element = ui.turn.content.firstElementChild.cloneNode(true);
    /** @param {string} name @returns {any} */
    this.#at = (name) => this.element.querySelector(`.${name}`);
    this.parts = new Parts({ thinking: this.#at("thinking"), answer: this.#at("answer") });
    this.showPrompt(prompt);
    this.#listen();
  }

  /** @param {string} prompt "" if it is not known */
  showPrompt(prompt) {
    this.prompt = prompt;
    const question = this.#at("question");
    question.textContent = prompt;
    // A long one scrolls, which a keyboard can do where it has the focus.
    if (prompt.length > LONG_PROMPT) question.tabIndex = 0;
    else question.removeAttribute("tabindex");
    this.#at("asked").hidden = !prompt;
  }

  #listen() {
    const editor = this.#at("editor");
    const field = editor.querySelector("textarea");
    growing(field);
    this.#at("edit").addEventListener("click", () => this.#edit(true));
    this.#at("cancel").addEventListener("click", () => this.#edit(false));
    this.#at("copy").addEventListener("click", () => this.#copy());
    this.#at("regenerate").addEventListener("click", () => this.#send(this.prompt));
    this.#at("before").addEventListener("click", () => this.#commands.switchTo(this, -1));
    this.#at("behind").addEventListener("click", () => this.#commands.switchTo(this, 1));
    editor.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      if (field.value.trim()) this.#send(field.value.trim());
    });
    editor.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.isComposing) return;
      if (event.key === "Escape") this.#edit(false);
      else if (event.key !== "Enter" || event.shiftKey || event.target !== field) return;
      else editor.requestSubmit();
      event.preventDefault();
      event.stopPropagation();
    });
  }

  // Its answer

  /** Shows the parts that have been added. @param {() => boolean} [isOver] @returns {boolean} */
  flush(isOver) {
    const words = this.parts.words("thinking");
    if (words !== this.#thought) {
      this.#thought = words;
      this.#at("thoughts").hidden = words === 0;
      this.#at("thought-words").textContent = inWords(words);
    }
    return this.parts.flush(isOver);
  }

  /** @param {boolean} running */
  showRunning(running) {
    this.#at("answer").ariaBusy = String(running);
    if (!running) this.parts.rest();
    const isFixed = running || !this.prompt || !this.canBranch;
    this.#at("edit").hidden = this.#at("regenerate").hidden = isFixed;
    this.#at("regenerate").textContent = this.#commands.sendLabel();
    // There is a clipboard in secure contexts only.
    this.#at("copy").hidden = running || !navigator.clipboard || !this.parts.words("answer");
  }

  /** Says how the answer has come about. @param {string} text */
  showSummary(text) {
    this.#at("summary").textContent = text;
  }

  /** @param {"restarted" | "taken-over"} name @param {string} text */
  showNotice(name, text) {
    this.#at(name).textContent = text;
    this.#at(name).hidden = !text;
  }

  /**
   * Tells why there is no answer, and offers actions.
   * @param {string} message @param {Action[]} actions
   */
  showError(message, actions) {
    this.#at("message").textContent = message;
    const buttons = actions.map(({ label, run }) => button(label, run));
    buttons.forEach((each, at) => (each.dataset.testid = at === 0 ? "again" : "otherwise"));
    const place = this.#at("error").querySelector(".buttons");
    place.replaceChildren(...buttons);
    place.hidden = buttons.length === 0;
    this.#at("error").hidden = false;
  }

  hideError() {
    this.#at("error").hidden = true;
  }

  // Its versions

  /** @param {number} which from 0 @param {number} count */
  showBranches(which, count) {
    this.#at("branches").hidden = count < 2;
    this.#at("which").textContent = `${which + 1} of ${count}`;
    this.#at("before").disabled = which === 0;
    this.#at("behind").disabled = which === count - 1;
  }

  /** @param {boolean} editing */
  #edit(editing) {
    const field = this.#at("editor").querySelector("textarea");
    this.#at("asked").hidden = editing;
    this.#at("editor").hidden = !editing;
    field.value = this.prompt;
    if (editing) field.focus();
    else this.#at("edit").focus();
  }

  /** @param {string} prompt */
  #send(prompt) {
    if (!this.#commands.send(this, prompt)) return;
    this.#at("asked").hidden = false;
    this.#at("editor").hidden = true;
  }

  async #copy() {
    await navigator.clipboard.writeText(this.parts.source);
    this.#at("copy").textContent = "Copied";
    announcer.say("Answer copied.");
    setTimeout(() => (this.#at("copy").textContent = "Copy"), COPIED_MS);
  }
}
