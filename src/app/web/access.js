// @ts-check
/** The form for the access token, and what this browser remembers of it. */
import { api, ui } from "./elements.js";
import { announcer } from "./views.js";

/** A value that this browser has stored; null also where storage is off. @param {string} name */
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
    // Storage is off: the page then asks for the token each time it is loaded.
  }
}

/**
 * The access token that a person has entered. It is stored in localStorage: unlike sessionStorage,
 * other tabs can read it, and unlike a cookie, the browser never sends it by itself. Any script of
 * this page can read it; the Content-Security-Policy allows only the page's own scripts.
 */
export class AccessToken {
  #name = `access-token ${api.baseUrl}`; // another stage of this origin has other tokens
  #nameOfOpen = `open ${api.baseUrl}`;
  #value = recall(this.#name);
  /** @type {() => void} */
  #again = () => {};

  #forgotten;

  /** @param {() => void} forgotten called when the person has deleted the token */
  constructor(forgotten) {
    this.#forgotten = forgotten;
    addEventListener("storage", ({ key, newValue }) => key === this.#name && this.#set(newValue));
    ui.access.addEventListener("submit", (/** @type {SubmitEvent} */ event) => this.#enter(event));
    ui.forget.addEventListener("click", () => this.#forget());
    this.#set(this.#value);
  }

  /** True if there is a token, or the server requires none. */
  get isSettled() {
    return this.#value !== null || recall(this.#nameOfOpen) !== null;
  }

  /** Remembers that the server requires no token. */
  rememberOpen() {
    keep(this.#nameOfOpen, "yes");
  }

  /** The credentials, as options for the client. */
  get credentials() {
    return { bearer: this.#value };
  }

  /**
   * Shows the form, because the server has refused a request or would refuse one.
   * @param {() => void} again repeats the request with the token
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
