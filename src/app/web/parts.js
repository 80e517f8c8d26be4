// @ts-check
/** The parts of an answer on the page: an element for each, in the order of their events. */
import { made } from "./elements.js";
import { TextBlock } from "./text.js";
import { ofTotal, TOOL_STATES } from "./texts.js";

/** @typedef {import("./client.js").Part} Part */
/** @typedef {import("./client.js").ToolCallPart} ToolCallPart */
/** @typedef {import("./client.js").ProgressPart} ProgressPart */
/** @typedef {import("./client.js").DataPart} DataPart */
/** @typedef {import("./client.js").SourcePart} SourcePart */

/**
 * A part on the page. `running` is false when the stream has ended.
 * @typedef {{element: HTMLElement, show: (part: any, running: boolean) => void}} View
 */

const ARGUMENTS_SHOWN = 200;

/** All parts of one answer. Thinking has a place of its own. Other kinds are not shown. */
export class Parts {
  /** @type {Map<Part, View>} all but the texts */
  #views = new Map();
  /** @type {Set<Part>} those to show again */
  #changed = new Set();
  /** @type {Record<string, TextBlock[]>} by the kind of the text */
  #blocks = { thinking: [], answer: [] };
  /** @type {Set<TextBlock>} those to which text is still added */
  #open = new Set();
  #places;
  #running = true;

  /** @param {{thinking: HTMLElement, answer: HTMLElement}} places */
  constructor(places) {
    this.#places = places;
  }

  /** The number of words of a kind of text. @param {"thinking" | "answer"} kind */
  words(kind) {
    return this.#blocks[kind].reduce((sum, { words }) => sum + words, 0);
  }

  /** The text of the answer as the model has written it. */
  get source() {
    return this.#blocks.answer.map(({ source }) => source).join("\n\n");
  }

  /** Adds to a text. @param {Part} part @param {string} text @returns {number} the words begun */
  add(part, text) {
    const blocks = this.#blocks[part.kind];
    let block = blocks.at(-1);
    if (!block || !this.#open.has(block)) {
      block = new TextBlock(part.kind === "thinking" ? this.#places.thinking : this.#places.answer);
      blocks.push(block);
      this.#open.add(block);
    }
    return block.add(text);
  }

  /** Notes that a part other than text is new, or has changed. @param {Part} part */
  change(part) {
    const View = VIEWS.get(part.kind);
    if (!View) return;
    this.#changed.add(part);
    if (this.#views.has(part)) return;
    const view = new View();
    this.#append(view);
    this.#views.set(part, view);
  }

  /** Shows exactly these parts. A view that is there already stays as it is. @param {Part[]} parts */
  keep(parts) {
    for (const kind of ["thinking", "answer"]) {
      for (const { element } of this.#blocks[kind]) element.remove();
      this.#blocks[kind] = [];
    }
    this.#open.clear();
    const views = this.#views;
    this.#views = new Map();
    for (const part of parts) {
      const view = views.get(part);
      views.delete(part);
      if (part.kind in this.#blocks) this.add(part, /** @type {any} */ (part).text);
      else if (view) (this.#append(view), this.#views.set(part, view));
      else this.change(part);
    }
    for (const { element } of views.values()) element.remove();
    this.#changed = new Set(this.#views.keys()); // A call that stays may have lost its result.
  }

  /**
   * Shows the text and the parts that have been added.
   * @param {() => boolean} [isOver] true if the rest has to wait @returns {boolean} true if all is shown
   */
  flush(isOver = () => false) {
    for (const part of this.#changed) this.#views.get(part)?.show(part, this.#running);
    this.#changed.clear();
    const blocks = [...this.#blocks.thinking, ...this.#blocks.answer];
    return blocks.every((block) => block.show(isOver));
  }

  /** Shows that the stream has ended. */
  rest() {
    this.#running = false;
    this.#changed = new Set(this.#views.keys());
    this.#close();
  }

  /** @param {View} view */
  #append(view) {
    this.#close();
    this.#places.answer.append(view.element);
  }

  #close() {
    for (const block of this.#open) block.end();
    this.#open.clear();
  }
}

/** One line with the state of a call, which opens to its arguments and its output. */
class ToolView {
  element = made("details", "tool");
  #name = made("b", "called");
  #given = made("span", "given muted");
  #state = made("span", "is");
  #arguments = made("pre");
  #result = made("pre");
  #resultTitle = made("h3");

  constructor() {
    const line = made("summary");
    line.append(this.#name, this.#given, this.#state);
    const title = made("h3", "", "Arguments");
    this.element.append(line, title, this.#arguments, this.#resultTitle, this.#result);
    this.element.dataset.testid = "tool";
    this.#given.ariaHidden = "true";
  }

  /** @param {ToolCallPart} call @param {boolean} running */
  show(call, running) {
    const { output = null, error = null } = call.result ?? {};
    const state = call.state === "running" && !running ? "unfinished" : call.state;
    this.element.dataset.state = state;
    this.#name.textContent = call.name;
    this.#given.textContent = JSON.stringify(call.arguments).slice(0, ARGUMENTS_SHOWN);
    this.#state.textContent = TOOL_STATES[state];
    this.#arguments.textContent = inText(call.arguments);
    this.#resultTitle.textContent = error === null ? "Output" : "Error";
    this.#result.textContent = error ?? inText(output);
    this.#resultTitle.hidden = this.#result.hidden = !call.result;
  }
}

/** A bar, which has no end while the amount of work is unknown. */
class ProgressView {
  element = made("p", "progress");
  #label = made("span");
  #bar = document.createElement("progress");
  #count = made("span", "muted");

  constructor() {
    this.element.append(this.#label, this.#bar, this.#count);
    this.element.dataset.testid = "progress";
  }

  /** @param {ProgressPart} progress @param {boolean} running */
  show({ label, done, total }, running) {
    this.#label.textContent = this.#bar.ariaLabel = label;
    this.#count.textContent = ofTotal(done, total);
    this.#bar.hidden = total === null && !running; // It would move for ever.
    if (total === null) return this.#bar.removeAttribute("value");
    this.#bar.max = total || 1;
    this.#bar.value = total ? done : 1;
  }
}

/** A small card: a name and a value. */
class DataView {
  element = made("figure", "data");
  #name = made("figcaption", "muted");
  #value = made("pre");

  constructor() {
    this.element.append(this.#name, this.#value);
    this.element.dataset.testid = "data";
  }

  /** @param {DataPart} data */
  show({ name, value }) {
    this.#name.textContent = name;
    this.#value.textContent = inText(value);
    this.#value.className = typeof value === "object" ? "" : "plain";
  }
}

/** A link, or text where the address is none of the web's. */
class SourceView {
  element = made("p", "source");

  constructor() {
    this.element.dataset.testid = "source";
  }

  /** @param {SourcePart} source */
  show({ title, url }) {
    const address = webAddress(url);
    const about = made("span", "muted", address ? address.host : url);
    if (!address) return this.element.replaceChildren(title, " ", about);
    const link = document.createElement("a");
    link.href = address.href;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    link.append(title || url, " ", about);
    this.element.replaceChildren(link);
  }
}

/** @type {Map<string, new () => View>} */
const VIEWS = new Map(
  Object.entries({
    tool_call: ToolView,
    progress: ProgressView,
    data: DataView,
    source: SourceView,
  }),
);

/** @param {any} value JSON */
const inText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** @param {string} url */
function webAddress(url) {
  const address = URL.canParse(url) ? new URL(url) : null;
  return address && /^https?:$/.test(address.protocol) ? address : null;
}
