// @ts-check
/** A stand-in that shows Markdown as the text that it is. */

export class Markdown {
  #element;
  #text = "";

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
  }

  /** @param {string} text */
  add(text) {
    this.#text += text;
    this.#element.append(text);
  }

  end() {}

  get text() {
    return this.#text;
  }
}
