// @ts-check
/** A text of an answer on the page, which is Markdown and grows. */
import { made } from "./elements.js";
import { Markdown } from "./markdown.js";

/** So much is rendered between two looks at the clock. */
const PIECE = 1_000;
/** So many blocks that do not change any more become a section. */
const SECTION = 50;
/** The last blocks stay as they are. */
const OPEN = 10;
/** The level of the heading of a turn. */
const TURN_LEVEL = 2;

/** A run of text without another part in between. */
export class TextBlock {
  words = 0;
  #inWord = false;
  #pending = "";
  #ending = false;
  #ended = false;
  #markdown;
  /** @type {Element | null} the last block that does not change any more */
  #closed = null;
  #sections = 0;
  #settled = 0;
  /** @type {Element | null} the one behind whose text the cursor stands, while the answer grows */
  #cursor = null;
  /** @type {number[]} the levels of the last heading and of those above it */
  #headings = [];

  /** @param {HTMLElement} place */
  constructor(place) {
    this.element = made("div", "text");
    this.#markdown = new Markdown(this.element);
    place.append(this.element);
  }

  /** The text as the model has written it. */
  get source() {
    return this.#markdown.text + this.#pending;
  }

  /** @param {string} text @returns {number} the number of words that begin in it */
  add(text) {
    this.#pending += text;
    const begun = (text.match(/\S+/g)?.length ?? 0) - (this.#inWord && /^\S/.test(text) ? 1 : 0);
    if (text) this.#inWord = /\S$/.test(text);
    this.words += begun;
    return begun;
  }

  /** The text is complete. */
  end() {
    this.#ending = true;
  }

  /**
   * Shows the text that has been added, in pieces.
   * @param {() => boolean} isOver true if the rest has to wait @returns {boolean} true if all is shown
   */
  show(isOver) {
    this.#settle();
    while (this.#pending) {
      this.#markdown.add(this.#pending.slice(0, PIECE));
      this.#pending = this.#pending.slice(PIECE);
      this.#rankHeadings();
      this.#moveCursor();
      if (this.#pending && isOver()) break;
    }
    this.#divide();
    if (this.#pending) return false;
    if (!this.#ending || this.#ended) return true;
    this.#ended = true;
    this.#markdown.end();
    this.#rankHeadings();
    return true;
  }

  /**
   * Gives the headings the levels below that of their turn, without a gap: a model may begin with
   * any.
   */
  #rankHeadings() {
    const { lastElementChild } = this.element;
    let block = this.#closed?.nextElementSibling ?? this.element.firstElementChild;
    for (; block; block = block.nextElementSibling) {
      const level = /^H([1-6])$/.exec(block.nodeName)?.[1];
      if (level && !block.ariaLevel) block.ariaLevel = String(this.#rank(Number(level)));
    }
    this.#closed = lastElementChild?.previousElementSibling ?? null;
  }

  /**
   * Divides a long text into sections. The browser lays out and paints a settled section when it
   * comes near the screen. In a visible tab the frame before has shown it, so its height is known.
   */
  #divide() {
    const { children } = this.element;
    while (children.length >= this.#sections + SECTION + OPEN) {
      const section = made("div", "section");
      const blocks = [...children].slice(this.#sections, this.#sections + SECTION);
      blocks[0].before(section);
      section.append(...blocks);
      this.#sections += 1;
    }
  }

  #settle() {
    while (this.#settled < this.#sections) {
      this.element.children[this.#settled++].classList.add("settled");
    }
  }

  /** The class names the one element, so that the browser need not look at the others. */
  #moveCursor() {
    const place = lastLine(this.element) ?? this.element;
    if (place === this.#cursor) return;
    this.#cursor?.classList.remove("cursor");
    place.classList.add("cursor");
    this.#cursor = place;
  }

  /** @param {number} level in the answer @returns {number} its level on the page */
  #rank(level) {
    this.#headings = [...this.#headings.filter((above) => above < level), level];
    return TURN_LEVEL + this.#headings.length;
  }
}

/** The last line of text in an element, if it ends with one. @param {Element} element */
function lastLine(element) {
  let last = element.lastElementChild;
  while (last?.matches("ul, ol, li, blockquote")) last = last.lastElementChild;
  return last?.matches("p, h1, h2, h3, h4, h5, h6") ? last : null;
}
