// @ts-check
/** The form for the access token, and what this browser remembers of it. */
import { api, ui } from "./elements.js";
import { announcer } from "./views.js";

/** What this browser keeps; null also where it is told to keep nothing. @param {string} name */
function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

/** @param {string} name @param {string | null} value */
function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // It is asked for once a page then.
  }
}

/**
 * The access token, once it has been entered. It is kept in localStorage: a reload and another tab
 * need it too, which sessionStorage does not give them, and unlike a cookie it goes nowhere by
 * itself. What runs in this page can read it, and the page's policy lets nothing run but its own.
 */
export class AccessToken {
  #name = `access-token ${api.baseUrl}`; // an origin may have other stages, with other tokens
  #nameOfOpen = `open ${api.baseUrl}`;
  #value = recall(this.#name);
  /** @type {() => void} */
  #again = () => {};

  #forgotten;

  /** @param {() => void} forgotten called when the person has told the browser to forget it */
  constructor(forgotten) {
    this.#forgotten = forgotten;
    addEventListener("storage", ({ key, newValue }) => key === this.#name && this.#set(newValue));
    ui.access.addEventListener("submit", (/** @type {SubmitEvent} */ event) => this.#enter(event));
    ui.forget.addEventListener("click", () => this.#forget());
    this.#set(this.#value);
  }

  /** Whether there is one, or none is needed. */
  get isSettled() {
    return this.#value !== null || recall(this.#nameOfOpen) !== null;
  }

  /** Remembers that none is needed. */
  rememberOpen() {
    keep(this.#nameOfOpen, "yes");
  }

  /** What the client is to show. */
  get credentials() {
    return { bearer: this.#value };
  }

  /**
   * Asks for it because a request was refused, or will be.
   * @param {() => void} again what goes on with it
   */
  ask(again) {
    this.#again = again;
    const wrong = this.#value !== null;
    keep(this.#nameOfOpen, null);
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
    this.#forgotten();
  }

  /** @param {SubmitEvent} event */
  #enter(event) {
    event.preventDefault();
    this.#keep(ui["access-token"].value);
    this.#again();
  }

  /** @param {string | null} value */
  #keep(value) {
    this.#set(value);
    keep(this.#name, value);
  }

  /** @param {string | null} value */
  #set(value) {
    this.#value = value;
    ui.kept.hidden = value === null;
  }
}
