// @ts-check
/** The models and agents of the server, and if it requires an access token. */
import { api } from "./elements.js";
import { keep, recallJson } from "./storage.js";

/** So long an answer counts: each request for it may start a sandbox. */
const FRESH_MS = 3_600_000;
const NAME = "served";

/**
 * @typedef {{name: string, description: string}} Agent
 * @typedef {{access: string, models: string[], agents: Agent[], at: number}} Told
 */

/** It reports `change` when the server has told something else. */
export class Served extends EventTarget {
  /** @type {Told | null} */
  #told = read(recallJson(NAME));

  get models() {
    return this.#told?.models ?? [];
  }

  get agents() {
    return this.#told?.agents ?? [];
  }

  /** True if the server requires no access token; false also if that is unknown. */
  get isOpen() {
    return this.#told?.access === "open";
  }

  get isFresh() {
    return this.#told !== null && Date.now() - this.#told.at < FRESH_MS;
  }

  /**
   * Asks the server.
   * @param {string | null} bearer @returns {Promise<boolean>} true if it requires an access token
   */
  async ask(bearer) {
    const headers = bearer ? { Authorization: `Bearer ${bearer}` } : undefined;
    const answer = await fetch(`${api.baseUrl}/healthz`, { headers }).catch(() => null);
    const told = answer?.ok ? await answer.json().catch(() => null) : null;
    if (!told?.access) return false;
    const closed = told.access !== "open";
    // A closed server tells the rest to those only whose token is valid.
    if (closed && !told.models) return true;
    this.#set(read({ models: [], agents: [], ...told, at: Date.now() }));
    return closed;
  }

  forget() {
    this.#set(null);
  }

  /** @param {Told | null} told */
  #set(told) {
    this.#told = told;
    keep(NAME, told && JSON.stringify(told));
    this.dispatchEvent(new Event("change"));
  }
}

/** @param {any} told @returns {Told | null} */
function read(told) {
  const { access, models, agents, at } = told ?? {};
  const isComplete = Array.isArray(models) && Array.isArray(agents) && typeof at === "number";
  return isComplete ? { access, models, agents, at } : null;
}
