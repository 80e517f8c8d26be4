// @ts-check
/** The turns of a conversation on the page: the last one runs, the others are complete. */
import { ui } from "./elements.js";
import { slice } from "./frames.js";
import { TurnView } from "./turn.js";

/** @typedef {{id: string, prompt: string, answer?: string}} Told */

/** A turn whose parts are read before it is quite in view. */
const NEAR = "200px 0px";
/** Until then the last turn has the connections for itself, and fills the screen. */
const SETTLED_MS = 500;

export class Turns {
  /** @type {TurnView[]} in the order of the page */
  shown = [];
  /** @type {Map<string, TurnView>} those that are complete, also of other versions */
  #complete = new Map();
  /** @type {TurnView[]} those whose text is not on the page yet, the last one first */
  #unfilled = [];
  #commands;
  #grown;
  #observer;

  /**
   * @param {import("./turn.js").Commands} commands
   * @param {(turn: TurnView) => void} seen called once when a turn before the last one is in view
   * @param {() => void} grown
   */
  constructor(commands, seen, grown) {
    this.#commands = commands;
    this.#grown = grown;
    const look = (/** @type {IntersectionObserverEntry[]} */ entries) => {
      for (const { target } of entries.filter(({ isIntersecting }) => isIntersecting)) {
        this.#observer.unobserve(target);
        const turn = this.shown.find(({ element }) => element === target);
        if (turn) seen(turn);
      }
    };
    this.#observer = new IntersectionObserver(look, { rootMargin: NEAR });
  }

  /** @param {string} id @param {string} prompt */
  make(id, prompt) {
    return new TurnView(id, prompt, this.#commands);
  }

  /**
   * Shows these turns and then the last one.
   * @param {Told[]} earlier those without an answer have one that is not known yet
   * @param {TurnView} last
   */
  show(earlier, last) {
    for (const turn of this.shown)
      if (turn.isComplete && turn.id) this.#complete.set(turn.id, turn);
    const views = earlier.map((told, at) => this.#viewOf(told, earlier[at - 1]));
    last.canBranch = earlier.length === 0 || earlier.at(-1)?.id !== "";
    this.shown = [...views, last];
    this.#place();
    this.#fill();
  }

  /** Forgets all turns: another conversation is shown. */
  clear() {
    this.#complete.clear();
    this.shown = [];
    this.#unfilled = [];
    this.#place();
  }

  /** Shows the parts that have been added to a turn that is complete. @param {TurnView} turn */
  fill(turn) {
    this.#unfilled.push(turn);
    if (this.#unfilled.length === 1) this.#fill();
  }

  /** The turns before this one. @param {TurnView} turn */
  before(turn) {
    return this.shown.slice(0, this.shown.indexOf(turn));
  }

  /** @param {Told} told @param {Told | undefined} before */
  #viewOf({ id, prompt, answer }, before) {
    const known = this.#complete.get(id) ?? this.shown.find((turn) => id && turn.id === id);
    const view = known ?? this.make(id, prompt);
    view.canBranch = id !== "" && before?.id !== "";
    if (answer === undefined || view.isComplete) return view;
    if (known && known.parts.words("answer")) view.parts.keep([]); // It was read halfway only.
    if (answer) view.parts.add({ kind: "answer", text: answer }, answer);
    view.isComplete = true;
    view.showRunning(false);
    this.#unfilled.unshift(view);
    if (id) setTimeout(() => this.#observer.observe(view.element), SETTLED_MS);
    return view;
  }

  /** Brings the elements in order, and leaves those alone that are in their place. */
  #place() {
    const wanted = this.shown.map(({ element }) => element);
    const stays = new Set(wanted);
    for (const element of [...ui.turns.children]) if (!stays.has(element)) element.remove();
    wanted.forEach((element, at) => {
      const there = ui.turns.children[at];
      if (there !== element) ui.turns.insertBefore(element, there ?? null);
    });
  }

  #fill() {
    const isOver = slice();
    for (let turn = this.#unfilled[0]; turn; turn = this.#unfilled[0]) {
      if (turn.flush(isOver)) this.#unfilled.shift();
      if (isOver()) break;
    }
    this.#grown();
    if (this.#unfilled.length) setTimeout(() => this.#fill());
  }
}
