// @ts-check
/** The parts of an answer on the page: an element for each, in the order of their events. */
import { ui } from "./elements.js";
import { ofTotal, TOOL_STATES } from "./texts.js";
import { StreamedText } from "./views.js";

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

/** The text of the answer, as it is copied. */
export const answerText = () =>
  Array.from(ui.answer.querySelectorAll(".text"), (block) => block.textContent).join("\n\n");

/** All parts of one answer. Thinking has a place of its own. Other kinds are not shown. */
export class Parts {
  /** @type {Map<Part, View>} */
  #views = new Map();
  /** @type {Set<Part>} those to show again */
  #changed = new Set();
  /** @type {Map<HTMLElement, HTMLElement>} the block to which the text of a place is added */
  #blocks = new Map();
  #running = true;

  constructor() {
    ui.thinking.replaceChildren();
    ui.answer.replaceChildren();
  }

  /** The number of words of a kind of text. @param {"thinking" | "answer"} kind */
  words(kind) {
    let words = 0;
    for (const [part, view] of this.#views) {
      if (part.kind === kind && view instanceof StreamedText) words += view.words;
    }
    return words;
  }

  /** Adds to a text. @param {Part} part @param {string} text @returns {number} the words begun */
  add(part, text) {
    const view = this.#views.get(part) ?? this.#newText(part);
    this.#changed.add(part);
    return view instanceof StreamedText ? view.add(text) : 0;
  }

  /** Notes that a part other than text is new, or has changed. @param {Part} part */
  change(part) {
    const View = VIEWS.get(part.kind);
    if (!View) return;
    this.#changed.add(part);
    if (this.#views.has(part)) return;
    const view = new View();
    this.#blocks.clear();
    ui.answer.append(view.element);
    this.#views.set(part, view);
  }

  /** Removes the parts that are not among these. @param {Part[]} parts */
  keep(parts) {
    const kept = new Set(parts);
    for (const [part, { element }] of this.#views) {
      if (kept.has(part)) continue;
      const block = element.parentElement;
      element.remove();
      if (block?.matches(".text:empty")) block.remove();
      this.#views.delete(part);
    }
    for (const [place, block] of this.#blocks) if (!block.isConnected) this.#blocks.delete(place);
    this.#changed = new Set(this.#views.keys()); // A call that stays may have lost its result.
  }

  flush() {
    for (const part of this.#changed) this.#views.get(part)?.show(part, this.#running);
    this.#changed.clear();
  }

  /** Shows that the stream has ended. */
  rest() {
    this.#running = false;
    this.#changed = new Set(this.#views.keys());
    this.flush();
  }

  /** @param {Part} part */
  #newText(part) {
    const place = part.kind === "thinking" ? ui.thinking : ui.answer;
    let block = this.#blocks.get(place);
    if (!block) {
      block = made("div", "text");
      block.dir = "auto";
      place.append(block);
      this.#blocks.set(place, block);
    }
    const view = new StreamedText(document.createElement("span"));
    block.append(view.element);
    this.#views.set(part, view);
    return view;
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
  #resultTitle = made("h2");

  constructor() {
    const line = made("summary");
    line.append(this.#name, this.#given, this.#state);
    const title = made("h2");
    title.textContent = "Arguments";
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
    const about = made("span", "muted");
    about.textContent = address ? address.host : url;
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

/** @param {string} name @param {string} className @returns {HTMLElement} */
function made(name, className = "") {
  const element = document.createElement(name);
  element.className = className;
  return element;
}

/** @param {any} value JSON */
const inText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

/** @param {string} url */
function webAddress(url) {
  const address = URL.canParse(url) ? new URL(url) : null;
  return address && /^https?:$/.test(address.protocol) ? address : null;
}
