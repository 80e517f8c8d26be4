// @ts-check
/** The form for the access token, and the token that this browser keeps. */
import { announcer } from "./announcer.js";
import { ui } from "./elements.js";
import { keep, recall, watch } from "./storage.js";

const NAME = "access-token";

/**
 * The access token that a person has entered. It is stored in localStorage: unlike sessionStorage,
 * other tabs can read it, and unlike a cookie, the browser never sends it by itself. Any script of
 * this page can read it; the Content-Security-Policy allows only the page's own scripts.
 */
export class AccessToken {
  #value = recall(NAME);
  /** @type {() => void} */
  #again = () => {};
  #changed;

  /** @param {() => void} changed called when the person has entered or deleted a token */
  constructor(changed) {
    this.#changed = changed;
    watch((name, value) => name === NAME && this.#set(value));
    ui.access.addEventListener("submit", (/** @type {SubmitEvent} */ event) => this.#enter(event));
    ui.forget.addEventListener("click", () => this.#forget());
    this.#set(this.#value);
  }

  get value() {
    return this.#value;
  }

  /**
   * Shows the form, because the server has refused a request or would refuse one.
   * @param {() => void} again repeats the request with the token
   */
  ask(again) {
    this.#again = again;
    const wrong = this.#value !== null;
    this.#keep(null);
    ui.access.hidden = false;
    ui["access-error"].textContent = wrong ? "This access token is not valid." : "";
    ui["access-token"].ariaInvalid = String(wrong);
    ui["access-token"].value = "";
    if (!ui.prompt.value) ui["access-token"].focus();
  }

  #forget() {
    this.#keep(null);
    announcer.say("Access token forgotten.");
    ui.prompt.focus();
    this.#changed();
  }

  /** @param {SubmitEvent} event */
  #enter(event) {
    event.preventDefault();
    this.#keep(ui["access-token"].value);
    ui.access.hidden = true;
    this.#again();
    this.#changed();
  }

  /** @param {string | null} value */
  #keep(value) {
    this.#set(value);
    keep(NAME, value);
  }

  /** @param {string | null} value */
  #set(value) {
    this.#value = value;
    ui.kept.hidden = value === null;
  }
}
