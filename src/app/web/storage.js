// @ts-check
/**
 * The storage of this browser, for this origin and path. Where it is off or full, the page remembers
 * its conversations until it is closed.
 */
import { Conversation } from "./conversation.js";
import { api } from "./elements.js";

/** The name of an item, since another stage of this origin has its own. @param {string} name */
const itemOf = (name) => `${name} ${api.baseUrl}`;

/** A value that this browser keeps; null also where storage is off. @param {string} name */
export function recall(name) {
  try {
    return localStorage.getItem(itemOf(name));
  } catch {
    return null;
  }
}

/** Keeps a value, or none if it is null. @param {string} name @param {string | null} value */
export function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(itemOf(name));
    else localStorage.setItem(itemOf(name), value);
  } catch {
    // Storage is off or full.
  }
}

/** The same for JSON. @param {string} name @returns {any} null if there is none, or it is broken */
export function recallJson(name) {
  return parsed(recall(name));
}

/** Tells of changes by other tabs. @param {(name: string, value: string | null) => void} changed */
export function watch(changed) {
  const suffix = ` ${api.baseUrl}`;
  addEventListener("storage", ({ key, newValue }) => {
    if (key?.endsWith(suffix)) changed(key.slice(0, -suffix.length), newValue);
  });
}

const PREFIX = "conversation ";

/** The conversations of this browser. It reports `change` when another tab has changed them. */
export class Conversations extends EventTarget {
  /** @type {Map<string, Conversation>} */
  #kept = new Map();

  constructor() {
    super();
    for (const name of names()) if (name.startsWith(PREFIX)) this.#take(name, recall(name));
    watch((name, value) => {
      if (!name.startsWith(PREFIX)) return;
      this.#take(name, value);
      this.dispatchEvent(new Event("change"));
    });
  }

  /** The newest first. */
  get all() {
    return [...this.#kept.values()].sort((one, other) => other.at - one.at);
  }

  /** The conversation that has this turn. @param {string} turnId */
  find(turnId) {
    return this.all.find((conversation) => conversation.has(turnId));
  }

  /** Keeps a conversation, with the turns that another tab has added. @param {Conversation} it */
  save(it) {
    const name = PREFIX + it.id;
    const other = read(recall(name));
    it.isForgotten = false;
    for (const turn of other?.turns ?? []) it.add(turn);
    this.#kept.set(it.id, it);
    keep(name, JSON.stringify({ shown: it.shown, gone: it.gone, turns: it.turns }));
  }

  /** @param {Conversation} it */
  forget(it) {
    this.#kept.delete(it.id);
    it.isForgotten = true;
    keep(PREFIX + it.id, null);
  }

  /** @param {string} name @param {string | null} text */
  #take(name, text) {
    const id = name.slice(PREFIX.length);
    const told = read(text);
    const known = this.#kept.get(id);
    if (!told) this.#kept.delete(id);
    else if (!known) this.#kept.set(id, told);
    else {
      for (const turn of told.turns) known.add(turn); // This tab may show it.
      known.shown = told.shown;
    }
  }
}

/** @returns {string[]} */
function names() {
  try {
    const suffix = ` ${api.baseUrl}`;
    const all = Object.keys(localStorage).filter((key) => key.endsWith(suffix));
    return all.map((key) => key.slice(0, -suffix.length));
  } catch {
    return [];
  }
}

/** @param {string | null} text */
function read(text) {
  const told = parsed(text);
  const turns = Array.isArray(told?.turns) ? told.turns.filter(isTurn) : [];
  if (turns.length === 0) return null;
  const conversation = new Conversation(turns);
  conversation.shown = String(told.shown ?? "");
  conversation.gone = Boolean(told.gone);
  return conversation;
}

/** @param {any} turn */
function isTurn(turn) {
  const texts = [turn?.id, turn?.previous, turn?.prompt];
  return texts.every((text) => typeof text === "string") && typeof turn.at === "number";
}

/** @param {string | null} text */
function parsed(text) {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return null;
  }
}
