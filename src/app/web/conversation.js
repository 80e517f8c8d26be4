// @ts-check
/**
 * A conversation as a tree of turns. It knows nothing of the page.
 *
 * Each turn is a stream, and names the one that it follows. Turns that follow the same one are
 * versions of each other: another prompt, or another answer to it.
 */

/**
 * `previous` is "" for a first turn. `at` is when this browser came to know of it, in milliseconds.
 * @typedef {{id: string, previous: string, prompt: string, at: number}} Turn
 *
 * A turn of a snapshot. `id` is "" if the turn was sent along with a later one.
 * @typedef {{id: string, prompt: string, answer: string}} ToldTurn
 *
 * @typedef {{role: string, content: string}} Message
 */

const TITLE_LENGTH = 80;

export class Conversation {
  /** @type {Map<string, Turn>} */
  #turns = new Map();
  /** The turn that was shown last: where the conversation is opened again. */
  shown = "";
  /** True if the server does not have the streams any more. */
  gone = false;
  /** True if the reader has deleted it, so that a turn which arrives later does not keep it. */
  isForgotten = false;

  /** @param {Turn[]} [turns] */
  constructor(turns = []) {
    for (const turn of turns) this.add(turn);
  }

  /** The id of its first turn; "" while it has none. */
  get id() {
    return this.#first?.id ?? "";
  }

  /** @returns {Turn | undefined} */
  get #first() {
    return this.#turns.values().next().value;
  }

  get turns() {
    return [...this.#turns.values()];
  }

  get title() {
    const prompt = this.#first?.prompt.trim().replaceAll(/\s+/g, " ") ?? "";
    return prompt.length > TITLE_LENGTH ? `${prompt.slice(0, TITLE_LENGTH)}…` : prompt;
  }

  /** When it had its newest turn, in milliseconds. */
  get at() {
    return Math.max(0, ...this.turns.map(({ at }) => at));
  }

  /** @param {string} id */
  has(id) {
    return this.#turns.has(id);
  }

  /** Adds a turn that it does not know. @param {Turn} turn @returns {boolean} true if it is new */
  add(turn) {
    const known = this.#turns.get(turn.id);
    if (known) return false;
    this.#turns.set(turn.id, turn);
    return true;
  }

  /**
   * Adds the turns of a snapshot.
   * @param {ToldTurn[]} told @returns {boolean} true if one is new
   */
  learn(told) {
    let news = false;
    told.forEach(({ id, prompt }, at) => {
      const previous = told[at - 1]?.id ?? "";
      if (id) news = this.add({ id, previous, prompt, at: Date.now() }) || news;
    });
    return news;
  }

  /** The turns from the first to this one. @param {string} id @returns {Turn[]} */
  path(id) {
    /** @type {Turn[]} */
    const path = [];
    const seen = new Set();
    for (let turn = this.#turns.get(id); turn && !seen.has(turn.id); ) {
      seen.add(turn.id);
      path.unshift(turn);
      turn = this.#turns.get(turn.previous);
    }
    return path;
  }

  /** The versions of each turn, by the id of the one before it; "" for the first. */
  versions() {
    /** @type {Map<string, Turn[]>} */
    const versions = new Map();
    for (const turn of this.#turns.values()) {
      const those = versions.get(turn.previous);
      if (those) those.push(turn);
      else versions.set(turn.previous, [turn]);
    }
    return versions;
  }

  /** The turns that follow this one; the first ones for "". @param {string} previous */
  following(previous) {
    return this.versions().get(previous) ?? [];
  }

  /** The last turn to which the newest versions lead from here. @param {string} id */
  newest(id) {
    const versions = this.versions();
    const seen = new Set();
    for (let next = versions.get(id)?.at(-1); next && !seen.has(next.id); ) {
      seen.add(next.id);
      id = next.id;
      next = versions.get(id)?.at(-1);
    }
    return id;
  }
}

/**
 * The turns that a snapshot tells, its own last, of which it tells no answer here. Each of the
 * streams has added one user message, and an assistant message if it has said anything.
 * @param {{id: string, follows?: string[], messages?: Message[]}} snapshot
 * @returns {ToldTurn[]}
 */
export function turnsOf({ id, follows = [], messages = [] }) {
  /** @type {ToldTurn[]} */
  const turns = [];
  for (const { role, content } of messages) {
    if (role === "user") turns.push({ id: "", prompt: content, answer: "" });
    else {
      const turn = turns.pop() ?? { id: "", prompt: "", answer: "" };
      turns.push({ ...turn, answer: [turn.answer, content].filter(Boolean).join("\n\n") });
    }
  }
  const ids = [...follows, id];
  while (turns.length < ids.length) turns.unshift({ id: "", prompt: "", answer: "" });
  ids.reverse().forEach((each, fromEnd) => (turns[turns.length - 1 - fromEnd].id = each));
  return turns;
}
