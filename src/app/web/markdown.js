// @ts-check
/**
 * Renders the Markdown that language models write, while it streams: text in pieces in, nodes out.
 *
 *     import { Markdown } from "./markdown.js";
 *
 *     const markdown = new Markdown(document.querySelector("#answer"));
 *     markdown.add("It is **bo"); // cut anywhere, even between two halves of a character
 *     markdown.add("ld**.\n\n```js\nlet a");
 *     markdown.end();
 *     copy(markdown.text);
 *
 * It follows CommonMark 0.31 and these parts of GFM: tables, strikethrough with `~~`, task lists,
 * bare http:// and https:// addresses. The names here are those of the two specifications.
 *
 * While it streams
 * - Closed blocks never change: their nodes stay, so a selection in them stays. Only the list that
 *   still grows may lose its class `tight`.
 * - A construct whose end has not come is shown as if it ended here: emphasis, links (without an
 *   address), code. If the end never comes, its beginning is shown as text, as CommonMark says.
 * - Characters that may still become a marker are held back until the text decides: the beginning
 *   of a line, a line that begins with `|` (a table's header), the address of a link.
 * - Each character costs the same, however long the text is. After end() the nodes are those of the
 *   whole text, however it was cut.
 *
 * Differences from CommonMark and GFM, all by design
 * - No link reference definitions: they would change text that is already shown.
 * - HTML is text. An image is a link with the alternative text, so nothing is loaded.
 * - Links go to http, https and mailto only, by absolute addresses. Others stay text as they are
 *   written. So does a link with no destination. A link in a link's text is its text only.
 * - Entities have the names of Latin-1, of Greek letters, and of SIGNS below; others are text.
 * - At most 50 containers, and 50 inline elements, are inside each other. Deeper markers are text.
 * - The header of a table is a line of a paragraph: a line that begins another block is none. Rows
 *   of one table may leave out 10,000 cells; the line after that is a paragraph.
 * - A bare address ends before punctuation, as in GFM; entities in it are not decoded. Inside of
 *   square brackets it is text.
 * - A paragraph in a tight list is a `p` too: the list then has the class `tight`.
 * - A soft line break is a newline. Chat pages show it as a break: `white-space: pre-line` does it.
 *
 * Nodes are made without markup, so a page may forbid it (`require-trusted-types-for 'script'`).
 * Classes for a style sheet: `code-block` around `code-head` and `pre.code`; `copy-code`; `table`
 * around a table; `left`, `center`, `right` on its cells; `tight` on lists; `task` on their items.
 *
 * Blocks at the top have the direction of their first strong character. The attribute dir="auto"
 * means the same, but Chromium then looks at the whole block again at each change. So the element
 * around the blocks should not have dir="auto" either. A style sheet gives paragraphs inside of
 * blocks a direction of their own with `unicode-bidi: plaintext`.
 */

const CONTAINERS = 50;
const INLINES = 50;
const MISSING_CELLS = 10_000;
/** At most so many elements are shown before their ends have come; the others are shown as text. */
const SHOWN = 8;
const SHOWN_LINKS = 2;
/** After so many characters without its end, the text of a link is more likely just in brackets. */
const LINK_TEXT = 300;
/** The size at which a text node is full. An addition copies the node that it is added to. */
const FULL = 1000;
const COPIED_MS = 2000;

/** Takes the text of a line. @typedef {{add(text: string): void, endLine(): void}} Sink */

/** A leaf block that may go on in the next line. @typedef {Paragraph | Code | Table} Leaf */

/** Markdown that arrives in pieces. Its nodes are appended to an element. */
export class Markdown {
  #text = "";
  /** The half of a character, or of a line ending. */
  #half = "";
  #ended = false;
  #blocks;

  /** @param {Element} element */
  constructor(element) {
    this.#blocks = new Blocks(element);
  }

  /** The source so far. */
  get text() {
    return this.#text;
  }

  /** @param {string} text */
  add(text) {
    if (this.#ended) throw new Error("text was added after end()");
    this.#text += text;
    this.#write(text);
  }

  /** Tells that the text is complete, so all that was held back is shown. */
  end() {
    if (this.#ended) return;
    this.#ended = true;
    const half = this.#half;
    this.#half = "";
    this.#lines(half);
    this.#blocks.end();
  }

  /** @param {string} piece */
  #write(piece) {
    const text = this.#half + piece;
    const whole = /[\r\ud800-\udbff]$/.test(text) ? text.length - 1 : text.length;
    this.#half = text.slice(whole);
    this.#lines(text.slice(0, whole));
  }

  /** @param {string} text */
  #lines(text) {
    const [first, ...others] = text.replaceAll("\0", "\ufffd").split(/\r\n?|\n/);
    this.#blocks.add(first);
    for (const line of others) {
      this.#blocks.endLine();
      this.#blocks.add(line);
    }
  }
}

/** A line, and a place in it, in characters and in columns (tabs, 2.2). */
class Line {
  at = 0;
  #column = 0;
  /** Some columns of the next character, a tab, were passed. */
  #isSplit = false;
  /** Set by look(): the place of the next character other than white space, and its indent. */
  next = 0;
  indent = 0;

  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }

  look() {
    let column = this.#column;
    for (this.next = this.at; isSpace(this.text[this.next]); this.next++) {
      column += this.text[this.next] === "\t" ? 4 - (column % 4) : 1;
    }
    this.indent = column - this.#column;
  }

  /** There is nothing but white space so far. */
  get isBlank() {
    return this.next === this.text.length;
  }

  /** Passes white space. @param {number} columns */
  indentBy(columns) {
    while (columns > 0 && isSpace(this.text[this.at])) {
      const width = this.text[this.at] === "\t" ? 4 - (this.#column % 4) : 1;
      this.#isSplit = width > columns;
      if (!this.#isSplit) this.at++;
      this.#column += Math.min(width, columns);
      columns -= width;
    }
  }

  /** Passes the white space and the marker behind it. @param {number} length of the marker */
  pass(length) {
    this.indentBy(this.indent);
    this.at += length;
    this.#column += length;
  }

  /** The rest with its white space. A tab of which columns were passed is spaces. */
  get rest() {
    if (!this.#isSplit) return this.text.slice(this.at);
    return " ".repeat(4 - (this.#column % 4)) + this.text.slice(this.at + 1);
  }
}

/** A container block. @typedef {Quote | Item} Container */

class Quote {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
  }
}

class Item {
  element = made("li");
  /** The item has a block. */
  filled = false;
  /** The item was empty, and a blank line followed. */
  over = false;

  /** @param {List} list @param {number} indent of its blocks, in columns */
  constructor(list, indent) {
    this.list = list;
    this.indent = indent;
    list.element.append(this.element);
  }

  /** Makes it an item of a task list. @param {boolean} isDone @returns {HTMLElement} its sign */
  check(isDone) {
    const box = document.createElement("input");
    this.element.className = "task";
    box.type = "checkbox";
    box.disabled = true;
    box.defaultChecked = isDone;
    box.ariaLabel = isDone ? "Done" : "To do";
    return box;
  }
}

/** `kind` is the last character of a marker. @typedef {{element: HTMLElement, kind: string}} List */

/** The block parser (phase 1 of CommonMark's appendix), which may go on within a line. */
class Blocks {
  #root;
  /** @type {Container[]} those that are open, the outermost first */
  #containers = [];
  /** @type {Leaf | null} the one that is open, in the innermost container */
  #leaf = null;
  /** @type {HTMLElement | null} the newest block at the top, until its direction is known */
  #undirected = null;
  /** For the containers from this one on, the line before this one was blank. */
  #blankFrom = Infinity;

  // This line:
  #line = new Line("");
  /** @type {RegExp | null} a character that may decide; before it comes, no parser need look */
  #decisive = null;
  /** @type {Sink | null} takes the rest of the line */
  #sink = null;
  /** So many containers go on. */
  #matched = 0;
  /** The next one does not. */
  #mismatched = false;
  /** The line has begun a block. */
  #began = false;
  /** The containers up to this one have a block quote's marker in this line. */
  #quoted = 0;

  /** @param {Element} element */
  constructor(element) {
    this.#root = element;
  }

  /** @param {string} text without line endings */
  add(text) {
    if (!text) return;
    if (this.#sink) return void this.#give(this.#sink, text);
    this.#line.text += text;
    if (!this.#decisive || this.#decisive.test(text)) this.#decide(false);
  }

  endLine() {
    if (!this.#sink) this.#decide(true);
    this.#sink?.endLine();
    this.#line = new Line("");
    this.#decisive = this.#sink = null;
    this.#matched = this.#quoted = 0;
    this.#mismatched = this.#began = false;
  }

  end() {
    if (this.#sink || this.#line.text) this.endLine();
    this.#close(0);
  }

  /** Looks at the line until its sink is known, or more must come. @param {boolean} complete */
  #decide(complete) {
    this.#decisive = null;
    while (!this.#sink && !this.#decisive) {
      this.#line.look();
      if (this.#line.isBlank && !complete) this.#wait(/[^ \t]/);
      else if (this.#matched < this.#containers.length && !this.#mismatched) this.#match(complete);
      else this.#read(complete);
    }
  }

  /** @param {RegExp} decisive */
  #wait(decisive) {
    this.#decisive = decisive;
    return true;
  }

  /** @param {Sink | null} sink @param {string} [text] the rest of the line so far */
  #give(sink, text) {
    this.#sink = sink ?? NOTHING;
    if (text) this.#direct(text);
    if (text) this.#sink.add(text);
    return true;
  }

  /** Decides if the next container continues in this line. @param {boolean} complete */
  #match(complete) {
    const container = this.#containers[this.#matched];
    const isQuote = container instanceof Quote;
    const goesOn = isQuote ? this.#passQuote(complete) : this.#passIndent(container);
    if (this.#decisive) return;
    this.#mismatched = !goesOn;
    if (goesOn) this.#matched++;
    if (goesOn && isQuote) this.#quoted = this.#matched;
  }

  /** Block quotes (5.1): a space after the marker is part of it. @param {boolean} complete */
  #passQuote(complete) {
    const { text, next, indent } = this.#line;
    if (indent > 3 || text[next] !== ">") return false;
    if (next + 1 === text.length && !complete) return this.#wait(/^/);
    this.#line.pass(1);
    this.#line.indentBy(1);
    return true;
  }

  /** List items (5.2) go on with blank lines and with indented lines. @param {Item} item */
  #passIndent(item) {
    const { isBlank, indent } = this.#line;
    if (isBlank && !item.filled) item.over = true;
    if (item.over || (indent < item.indent && !isBlank)) return false;
    this.#line.indentBy(item.indent);
    return true;
  }

  /** Reads the line inside of its containers. @param {boolean} complete */
  #read(complete) {
    const { isBlank } = this.#line;
    if (!this.#readCode(complete)) {
      if (isBlank) this.#readBlank();
      else if (!this.#readStart(complete)) this.#readText(complete);
    }
    if (this.#sink && !isBlank) this.#blankFrom = Infinity;
  }

  /** The leaf that may go on: no container has ended in this line, and none has begun. */
  get #tip() {
    return this.#began || this.#mismatched ? null : this.#leaf;
  }

  /** A code block continues. @param {boolean} complete */
  #readCode(complete) {
    const code = this.#tip;
    if (!(code instanceof Code)) return false;
    const { text, next, indent, isBlank } = this.#line;
    if (!code.fence && !isBlank && indent < 4) return false;
    if (code.fence && indent < 4 && text[next] === code.fence[0]) {
      const end = next + runLength(text, next);
      if (isSpaces(text, end)) {
        if (!complete) return this.#wait(/[^`~ \t]/);
        if (end - next >= code.fence.length) {
          this.#close(this.#containers.length);
          return this.#give(null);
        }
      }
    }
    this.#blankFrom = isBlank && !code.fence ? this.#quoted : Infinity;
    this.#line.indentBy(code.indent);
    code.beginLine(isBlank);
    return this.#give(code, this.#line.rest);
  }

  #readBlank() {
    this.#blankFrom = this.#began ? Infinity : this.#quoted;
    // An item that is over keeps its list open.
    const isOver = this.#containers[this.#matched] instanceof Item;
    if (!this.#began) this.#close(this.#matched + (isOver ? 1 : 0));
    return this.#give(null);
  }

  /** Reads text that begins no block. @param {boolean} complete */
  #readText(complete) {
    const { text, next, indent } = this.#line;
    let rest = text.slice(next);
    const isLazy = this.#mismatched && this.#leaf instanceof Paragraph;
    if (this.#mismatched && !isLazy) this.#close(this.#matched);
    if (this.#leaf instanceof Table) {
      if (this.#leaf.beginRow()) return this.#give(this.#leaf, rest);
      this.#close(this.#matched);
    }
    if (!(this.#leaf instanceof Paragraph)) {
      this.#close(this.#containers.length);
      const box = this.#task(rest, complete);
      if (this.#decisive) return true;
      const element = this.#made("p");
      if (box) element.append(box, " ");
      if (box) rest = trimmedStart(rest.slice(3));
      this.#leaf = new Paragraph(this.#enter(), element);
    }
    this.#leaf.beginLine(!isLazy && indent < 4, rest[0] === "|");
    return this.#give(this.#leaf, rest);
  }

  /** Task list items (GFM 5.3). @param {string} rest @param {boolean} complete */
  #task(rest, complete) {
    const item = this.#containers.at(-1);
    if (!(item instanceof Item) || item.filled || rest[0] !== "[") return null;
    if (!complete && /^\[(?:[ xX](?:\][ \t]*)?)?$/.test(rest)) {
      this.#wait(rest.length > 3 ? /[^ \t]/ : /^/);
      return null;
    }
    return /^\[[ xX]\][ \t]+[^ \t]/.test(rest) ? item.check(rest[1] !== " ") : null;
  }

  /** A block begins here, or it is not known yet. @param {boolean} complete */
  #readStart(complete) {
    const { text, next, indent } = this.#line;
    const rest = text.slice(next);
    if (indent > 3) return this.#startIndentedCode();
    return (
      this.#startTable(rest, complete) ||
      this.#startQuote(rest, complete) ||
      this.#startHeading(rest, complete) ||
      this.#startFencedCode(rest, complete) ||
      this.#endSetextHeading(rest, complete) ||
      this.#startBreak(rest, complete) ||
      this.#startItem(rest, complete)
    );
  }

  /** Closes the blocks that do not go on in this line, because another begins. */
  #begin() {
    if (!this.#began) this.#close(this.#matched);
    this.#began = true;
    this.#mismatched = false;
  }

  /** Closes the leaf, and all containers but so many. @param {number} count */
  #close(count) {
    this.#leaf?.close();
    this.#leaf = null;
    this.#containers.length = count;
  }

  /** The element in which a new block goes. Blank lines between blocks make a list loose (5.3). */
  #enter() {
    const container = this.#containers.at(-1);
    if (container instanceof Item) {
      if (container.filled && this.#containers.length > this.#blankFrom) loosen(container.list);
      container.filled = true;
    }
    return container?.element ?? this.#root;
  }

  /** @param {string} name @returns {HTMLElement} an element of a block */
  #made(name) {
    const element = made(name);
    if (!this.#containers.length) this.#undirected = element;
    return element;
  }

  /** Gives a block at the top the direction of its first strong character. @param {string} text */
  #direct(text) {
    const [strong] = (this.#undirected && text.match(STRONG)) || [];
    if (!strong || !this.#undirected) return;
    this.#undirected.dir = RIGHT_TO_LEFT.test(strong) ? "rtl" : "ltr";
    this.#undirected = null;
  }

  /** @param {Container} container */
  #push(container) {
    this.#matched = this.#containers.push(container);
  }

  /** Indented code blocks (4.4): they do not interrupt a paragraph. */
  #startIndentedCode() {
    if (this.#leaf instanceof Paragraph && !this.#began) return false;
    this.#begin();
    this.#leaf = new Code(this.#enter(), "", 4);
    this.#line.indentBy(4);
    this.#leaf.beginLine(false);
    return this.#give(this.#leaf, this.#line.rest);
  }

  /** Block quotes (5.1). @param {string} rest @param {boolean} complete */
  #startQuote(rest, complete) {
    if (rest[0] !== ">" || this.#containers.length >= CONTAINERS) return false;
    if (rest.length === 1 && !complete) return this.#wait(/^/);
    this.#begin();
    const quote = new Quote(this.#made("blockquote"));
    this.#enter().append(quote.element);
    this.#push(quote);
    return this.#passQuote(true);
  }

  /** ATX headings (4.2). @param {string} rest @param {boolean} complete */
  #startHeading(rest, complete) {
    if (rest[0] !== "#") return false;
    const level = runLength(rest, 0);
    if (level > 6) return false;
    if (level === rest.length && !complete) return this.#wait(/^/);
    if (level < rest.length && !isSpace(rest[level])) return false;
    this.#begin();
    const element = this.#made(`h${level}`);
    this.#enter().append(element);
    return this.#give(new Heading(element), rest.slice(level));
  }

  /** Fenced code blocks (4.5). @param {string} rest @param {boolean} complete */
  #startFencedCode(rest, complete) {
    if (rest[0] !== "`" && rest[0] !== "~") return false;
    const run = runLength(rest, 0);
    if (run === rest.length && !complete) return this.#wait(rest[0] === "`" ? /[^`]/ : /[^~]/);
    const info = rest.slice(run);
    if (run < 3 || (rest[0] === "`" && info.includes("`"))) return false;
    if (!complete) return this.#wait(/`/);
    this.#begin();
    const [language] = unescaped(trimmed(info)).split(/[ \t]/, 1);
    const { indent } = this.#line;
    this.#leaf = new Code(this.#enter(), rest.slice(0, run), indent, language);
    return this.#give(null);
  }

  /** Setext headings (4.3): the underline. @param {string} rest @param {boolean} complete */
  #endSetextHeading(rest, complete) {
    const paragraph = this.#tip;
    if (!(paragraph instanceof Paragraph) || !/^[=-]/.test(rest)) return false;
    if (!isSpaces(rest, runLength(rest, 0))) return false;
    if (!complete) return this.#wait(rest[0] === "=" ? /[^= \t]/ : /[^- \t]/);
    const heading = made(rest[0] === "=" ? "h1" : "h2");
    paragraph.close(heading);
    this.#leaf = null;
    return this.#give(null);
  }

  /** Thematic breaks (4.1). @param {string} rest @param {boolean} complete */
  #startBreak(rest, complete) {
    const other = { "-": /[^- \t]/, "*": /[^* \t]/, _: /[^_ \t]/ }[rest[0]];
    if (!other || other.test(rest)) return false;
    if (!complete) return this.#wait(other);
    if (rest.replaceAll(/[ \t]/g, "").length < 3) return false;
    this.#begin();
    this.#enter().append(made("hr"));
    return this.#give(null);
  }

  /** List items (5.2) and their lists (5.3). @param {string} rest @param {boolean} complete */
  #startItem(rest, complete) {
    const [marker] = rest.match(/^(?:[-+*]|\d{1,9}[.)])/) ?? [""];
    if (!marker) return !complete && /^\d{1,9}$/.test(rest) && this.#wait(/^/);
    if (isSpaces(rest, marker.length) && !complete) return this.#wait(/[^ \t]/);
    const isEmpty = isSpaces(rest, marker.length);
    const first = parseInt(marker);
    const mayInterrupt = !isEmpty && !(first !== 1 && marker.length > 1);
    if (this.#tip instanceof Paragraph && !mayInterrupt) return false;
    if (!isEmpty && !isSpace(rest[marker.length])) return false;
    if (this.#containers.length >= CONTAINERS) return false;
    const list = this.#listOf(marker, first);
    const { indent } = this.#line;
    this.#line.pass(marker.length);
    this.#line.look();
    const padding = isEmpty || this.#line.indent > 4 ? 1 : this.#line.indent;
    this.#line.indentBy(padding);
    this.#push(new Item(list, indent + marker.length + padding));
    return true;
  }

  /** The list of the item before, or a new one. @param {string} marker @param {number} first */
  #listOf(marker, first) {
    const before = this.#began ? null : this.#containers[this.#matched];
    const kind = marker.at(-1) ?? "";
    this.#begin();
    if (before instanceof Item && before.list.kind === kind) {
      if (this.#matched >= this.#blankFrom) loosen(before.list);
      return before.list;
    }
    const element = this.#made(marker.length > 1 ? "ol" : "ul");
    element.className = "tight";
    if (first !== 1 && marker.length > 1) element.setAttribute("start", String(first));
    this.#enter().append(element);
    return { element, kind };
  }

  /** Tables (GFM 4.10): the delimiter row. @param {string} rest @param {boolean} complete */
  #startTable(rest, complete) {
    const paragraph = this.#tip;
    if (!(paragraph instanceof Paragraph) || !/^(?:[|:]|-(?![ \t]))/.test(rest)) return false;
    if (!paragraph.mayBeHeader || /[^-:| \t]/.test(rest)) return false;
    if (!complete) return this.#wait(/[^-:| \t]/);
    const alignments = alignmentsOf(rest);
    const header = trimmed(paragraph.line);
    if (!alignments.length || columnsOf(header) !== alignments.length) return false;
    paragraph.withdrawLine();
    this.#close(this.#matched);
    const element = this.#made("table");
    this.#direct(header);
    this.#leaf = new Table(this.#enter(), element, alignments, header);
    return this.#give(null);
  }
}

const NOTHING = { add() {}, endLine() {} };

/** @param {List} list */
function loosen(list) {
  list.element.removeAttribute("class");
}

/** A paragraph (4.8), until it turns out to be a setext heading, or the header of a table. */
class Paragraph {
  #parent;
  #inlines;
  /** The lines before the last one. */
  #before = "";
  #isFirst = true;
  /** @type {string | null} the text not shown yet: the last line, if it begins with `|` */
  #held = null;
  line = "";
  #mayBeHeader = false;

  /** @param {Element} parent @param {HTMLElement} element not in the parent before it has text */
  constructor(parent, element) {
    this.#parent = parent;
    this.element = element;
    this.#inlines = new Inlines(element);
  }

  /** @param {boolean} mayBeHeader @param {boolean} isHeld */
  beginLine(mayBeHeader, isHeld) {
    this.#release();
    if (!this.#isFirst) this.#before += `${this.line}\n`;
    this.line = "";
    this.#mayBeHeader = mayBeHeader;
    if (isHeld) this.#held = "";
    this.#show(this.#isFirst ? "" : "\n");
    this.#isFirst = false;
  }

  /** @param {string} text */
  add(text) {
    this.line += text;
    this.#show(text);
  }

  endLine() {}

  /** @param {HTMLElement} [heading] in the place of the paragraph */
  close(heading) {
    this.#release();
    this.#inlines.end();
    if (!heading) return;
    heading.dir = this.element.dir;
    this.element.replaceWith(heading);
    moveFrom(this.element.firstChild, heading, null);
  }

  get mayBeHeader() {
    return this.#mayBeHeader && this.line.includes("|");
  }

  /** Takes the last line back, before it closes. */
  withdrawLine() {
    if (this.#held === null) {
      const box = this.element.querySelector("input");
      this.element.replaceChildren(...(box ? [box, " "] : []));
      this.#inlines = new Inlines(this.element);
      this.#inlines.add(this.#before.slice(0, -1));
    }
    this.#held = null;
    if (!this.#before) this.element.remove();
  }

  /** @param {string} text */
  #show(text) {
    if (this.#held !== null) {
      this.#held += text;
      return;
    }
    if (!this.element.parentNode) this.#parent.append(this.element);
    this.#inlines.add(text);
  }

  #release() {
    const held = this.#held;
    this.#held = null;
    if (held !== null) this.#show(held);
  }
}

/** An ATX heading (4.2), without its closing sequence. */
class Heading {
  #inlines;
  /** The end so far, which may be the closing sequence. */
  #held = " ";

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#inlines = new Inlines(element);
  }

  /** @param {string} text */
  add(text) {
    this.#held += text;
    if (/[^# \t]/.test(text)) this.#show();
  }

  endLine() {
    this.#show();
    this.#inlines.end();
  }

  #show() {
    const spaces = spacesBefore(this.#held, this.#held.length);
    let end = this.#held.length - spaces;
    while (this.#held[end - 1] === "#") end--;
    // There is a space before a closing sequence.
    if (isSpace(this.#held[end - 1])) end -= spacesBefore(this.#held, end);
    else end = this.#held.length - spaces;
    this.#inlines.add(this.#held.slice(0, end));
    this.#held = this.#held.slice(end);
  }
}

/** A code block, fenced (4.5) or indented (4.4), with a header that names its language. */
class Code {
  #text;
  /** @type {string[]} blank lines of indented code, which may be behind its end */
  #blank = [];
  #isBlank = false;

  /**
   * @param {Element} parent
   * @param {string} fence empty if the code is indented
   * @param {number} indent at most, of each line
   * @param {string} [language]
   */
  constructor(parent, fence, indent, language = "") {
    this.fence = fence;
    this.indent = indent;
    const code = made("code", language && `language-${language}`);
    this.#text = new GrowingText(code);
    parent.append(codeBlock(code, language));
  }

  /** @param {boolean} isBlank */
  beginLine(isBlank) {
    this.#isBlank = isBlank && !this.fence;
    if (this.#isBlank) return;
    for (const line of this.#blank) this.#text.add(line);
    this.#blank = [];
  }

  /** @param {string} text */
  add(text) {
    if (this.#isBlank) this.#blank.push(text);
    else this.#text.add(text);
  }

  endLine() {
    this.add("\n");
  }

  close() {}
}

/** @param {HTMLElement} code @param {string} language */
function codeBlock(code, language) {
  const block = made("div", "code-block");
  const head = made("div", "code-head");
  const name = made("span");
  const pre = made("pre", "code");
  block.dir = "ltr";
  name.textContent = language || "code";
  head.append(name, copyButton(code, language));
  scrollable(pre, language ? `Code: ${language}` : "Code");
  pre.append(code);
  block.append(head, pre);
  return block;
}

/** @param {HTMLElement} code @param {string} language */
function copyButton(code, language) {
  const button = document.createElement("button");
  const name = language ? `the ${language} code` : "the code";
  button.type = "button";
  button.className = "copy-code";
  button.hidden = !navigator.clipboard;
  /** @param {string} done */
  const show = (done) => {
    button.textContent = done;
    button.ariaLabel = `${done} ${name}`;
  };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent ?? "");
    show("Copied");
    clearTimeout(timer);
    timer = setTimeout(show, COPIED_MS, "Copy");
  });
  show("Copy");
  return button;
}

/** A table (GFM 4.10), row by row and cell by cell. */
class Table {
  #alignments;
  #element;
  /** @type {HTMLElement | null} */
  #body = null;
  /** @type {HTMLElement[]} those of this row */
  #cells = [];
  #column = 0;
  /** @type {Inlines | null} those of this cell */
  #inlines = null;
  #isFirst = true;
  /** A backslash at the end: the next character may be an escaped `|`. */
  #held = "";
  #missing = 0;

  /**
   * @param {Element} parent
   * @param {HTMLElement} element
   * @param {string[]} alignments of the columns
   * @param {string} header
   */
  constructor(parent, element, alignments, header) {
    this.#alignments = alignments;
    this.#element = element;
    const region = made("div", "table");
    scrollable(region, "Table");
    region.append(element);
    parent.append(region);
    const head = made("thead");
    element.append(head);
    this.#newRow(head, "th");
    this.add(header);
    this.endLine();
  }

  /** @returns {boolean} false if the table is too large for its text */
  beginRow() {
    if (this.#missing > MISSING_CELLS) return false;
    if (!this.#body) this.#element.append((this.#body = made("tbody")));
    this.#newRow(this.#body, "td");
    return true;
  }

  /** @param {string} text */
  add(text) {
    const given = this.#held + text;
    this.#held = given.endsWith("\\") ? "\\" : "";
    const [first, ...others] = given
      .slice(0, given.length - this.#held.length)
      .split(/(?<!\\)\|/)
      .map((part) => part.replaceAll("\\|", "|"));
    // The first pipe may be left out, so it begins no cell.
    const isOuter = this.#isFirst && !first && others.length;
    this.#isFirst &&= !given || given === this.#held;
    if (!isOuter) this.#write(first);
    else this.#write(others.shift() ?? "");
    for (const part of others) {
      this.#endCell();
      this.#column++;
      this.#write(part);
    }
  }

  endLine() {
    this.#write(this.#held);
    this.#held = "";
    this.#endCell();
    this.#missing += Math.max(0, this.#cells.length - 1 - this.#column);
  }

  close() {}

  /** @param {HTMLElement} section @param {string} name of its cells */
  #newRow(section, name) {
    const row = made("tr");
    this.#cells = this.#alignments.map((alignment) => made(name, alignment));
    row.append(...this.#cells);
    section.append(row);
    this.#column = 0;
    this.#isFirst = true;
  }

  /** @param {string} text */
  #write(text) {
    const cell = this.#cells[this.#column];
    if (!text || !cell) return;
    this.#inlines ??= new Inlines(cell);
    this.#inlines.add(text);
  }

  #endCell() {
    this.#inlines?.end();
    this.#inlines = null;
  }
}

/** The classes of the columns, or none if this is no delimiter row. @param {string} row */
function alignmentsOf(row) {
  const columns = trimmed(row).split("|").map(trimmed);
  if (!columns[0]) columns.shift();
  if (!columns.at(-1)) columns.pop();
  if (row.length < 2 || !columns.every((column) => /^:?-+:?$/.test(column))) return [];
  return columns.map((column) => {
    if (!column.endsWith(":")) return column.startsWith(":") ? "left" : "";
    return column.startsWith(":") ? "center" : "right";
  });
}

/** @param {string} header without white space around it */
function columnsOf(header) {
  const columns = header.split(/(?<!\\)\|/);
  if (!columns[0]) columns.shift();
  if (columns.at(-1) === "") columns.pop();
  return columns.length;
}

/**
 * A run of delimiters that may open or close emphasis (6.2), or a bracket that may open a link
 * (6.3) or an image (6.4). All that are open are a list, the newest last.
 * @typedef {object} Delimiter
 * @property {string} char
 * @property {number} count of the characters that are not used yet
 * @property {number} length of the whole run
 * @property {boolean} opens
 * @property {boolean} closes
 * @property {Text} node shows the characters, unless there are `elements`
 * @property {HTMLElement[]} elements for the construct that it opens, the outermost first
 * @property {number} height of the elements between this and the next one
 * @property {number} serial
 * @property {number} written so much text is before it
 * @property {Delimiter | null} previous
 * @property {Delimiter | null} next
 */

/** The inline parser (phase 2 of CommonMark's appendix), which continues where its text ended. */
class Inlines {
  #root;
  #isEmpty = true;
  /** The text that is not parsed yet. */
  #source = "";
  #at = 0;
  /** The character before the source. */
  #last = " ";
  /** @type {RegExp | null} a character that may decide; before it comes, no parser need look */
  #decisive = null;
  #complete = false;
  /** @type {Map<number, number>} by length, the place of the last run of backticks */
  #backticks = new Map();
  /** @type {CodeSpan | null} */
  #code = null;
  /** @type {{element: HTMLElement, text: string} | null} a bare address */
  #bare = null;
  /** @type {ReturnType<typeof linkTail> | null} */
  #tail = null;
  #text;
  #written = 0;

  /** The list of delimiters begins with one that is none. */
  #first = newDelimiter("", 0, 0);
  #newest = this.#first;
  #serial = 0;
  /** @type {Delimiter[]} those with elements */
  #shown = [];
  /** @type {Delimiter[]} */
  #brackets = [];
  /** The brackets before this one are in front of a link: they open none (6.3). */
  #inactiveBefore = 0;
  /** @type {Map<string, number>} for closers of a kind: there are no openers before this one */
  #bottoms = new Map();
  /**
   * The first closer whose opener is before a bracket. If the bracket opens a link, it is no pair.
   * It and all closers after it are resolved at the end of the bracket.
   * @type {Delimiter | null}
   */
  #deferred = null;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#root = element;
    this.#text = new GrowingText(element);
  }

  /** @param {string} text */
  add(text) {
    if (this.#isEmpty) text = trimmedStart(text);
    if (!text) return;
    this.#isEmpty = false;
    this.#source += text;
    if (this.#tail ? !this.#readTail(text) : this.#decisive && !this.#decisive.test(text)) return;
    this.#run();
  }

  /** The text is complete: a construct that has not ended is text. */
  end() {
    if (this.#code) this.#reopen(this.#code);
    if (this.#tail) this.#endTail(null);
    this.#complete = true;
    for (const { 0: run, index } of this.#source.matchAll(/`+/g)) {
      this.#backticks.set(run.length, index);
    }
    this.#run();
    if (this.#bare) this.#readBare(this.#bare);
    this.#inactiveBefore = Infinity;
    this.#resume();
    while (this.#first.next) this.#drop(this.#first.next);
  }

  #run() {
    this.#decisive = null;
    while (this.#at < this.#source.length && !this.#decisive) {
      if (this.#code) this.#readCode(this.#code);
      else if (this.#bare) this.#readBare(this.#bare);
      else this.#read();
    }
    if (!this.#at) return;
    this.#last = lastCharacter(this.#source, this.#at);
    this.#source = this.#source.slice(this.#at);
    this.#at = 0;
  }

  /** Reads text, or the construct that begins here. */
  #read() {
    SPECIAL.lastIndex = this.#at;
    const end = SPECIAL.exec(this.#source)?.index ?? this.#source.length;
    if (end > this.#at) return this.#readText(end);
    switch (this.#source[end]) {
      case "\n":
        return this.#break(1, false);
      case "\\":
        return this.#readEscape();
      case "&":
        return this.#readEntity();
      case "<":
        return this.#readAutolink();
      case "h":
        return this.#startBare();
      case "`":
        return this.#startCode();
      case "!":
        return this.#readExclamation();
      case "[":
        return this.#openBracket("[");
      case "]":
        return this.#readBracket();
      default:
        return this.#readRun();
    }
  }

  /** Nothing is known before a character comes that may decide. @param {RegExp} decisive */
  #wait(decisive) {
    this.#decisive = decisive;
  }

  /** Where the source ends, more may come. @param {number} end */
  #isOpen(end) {
    return end === this.#source.length && !this.#complete;
  }

  /** @param {number} length of the source @param {string} text that it shows */
  #pass(length, text) {
    this.#at += length;
    if (!text) return;
    this.#text.add(text);
    this.#written += text.length;
    const bracket = this.#brackets.at(-1);
    if (bracket && this.#written - bracket.written > LINK_TEXT) this.#hide(bracket);
  }

  /**
   * Text, and the line break (6.7, 6.8) behind it. White space before the end is none.
   * @param {number} end
   */
  #readText(end) {
    const text = this.#source.slice(this.#at, end);
    if (this.#source[end] === "\n") {
      let spaces = 0;
      while (text[text.length - 1 - spaces] === " ") spaces++;
      this.#pass(text.length, text.slice(0, text.length - spaces));
      this.#break(1, spaces > 1);
    } else {
      const spaces = end === this.#source.length ? spacesBefore(text, text.length) : 0;
      this.#pass(text.length - spaces, text.slice(0, text.length - spaces));
      if (this.#complete) this.#at = end;
      else if (spaces) this.#wait(/[^ \t]/);
    }
  }

  /** @param {number} length @param {boolean} isHard */
  #break(length, isHard) {
    this.#pass(length, isHard ? "" : "\n");
    if (isHard) this.#append(made("br"));
  }

  /** @param {Element} element */
  #append(element) {
    this.#place.append(element);
    this.#text.into(this.#place);
  }

  /** The element that grows. */
  get #place() {
    return this.#shown.at(-1)?.elements.at(-1) ?? this.#root;
  }

  /** Backslash escapes (2.4). */
  #readEscape() {
    const next = this.#source[this.#at + 1];
    if (this.#isOpen(this.#at + 1)) this.#wait(/^/);
    else if (next === "\n") this.#break(2, true);
    else if (next && PUNCTUATION.test(next)) this.#pass(2, next);
    else this.#pass(1, "\\");
  }

  /** Entities and numeric character references (2.5). */
  #readEntity() {
    const [entity] = matchAt(ENTITY, this.#source, this.#at) ?? [];
    if (entity) return this.#pass(entity.length, characterOf(entity));
    if (!this.#complete && matchAt(ENTITY_SO_FAR, this.#source, this.#at)) return this.#wait(/^/);
    return this.#pass(1, "&");
  }

  /** Autolinks (6.5). */
  #readAutolink() {
    const start = this.#at + 1;
    const [text] = matchAt(/[^<>\0-\x20]*/y, this.#source, start) ?? [""];
    if (this.#isOpen(start + text.length)) return this.#wait(/[<>\0-\x20]/);
    const isAddress = this.#source[start + text.length] === ">" && ADDRESS.test(text);
    const address = isAddress
      ? webAddress(text)
      : MAIL.test(text)
        ? webAddress(`mailto:${text}`)
        : "";
    if (!address || this.#source[start + text.length] !== ">") return this.#pass(1, "<");
    const element = made("a");
    element.textContent = text;
    linkTo(element, address);
    this.#append(element);
    this.#at += text.length + 2;
  }

  /** Bare addresses (GFM 6.9), which are shown as they grow. */
  #startBare() {
    const before = this.#at ? this.#source[this.#at - 1] : this.#last;
    const mayBegin = !this.#brackets.length && !/[A-Za-z0-9]/.test(before);
    const [scheme] = matchAt(/https?:\/\//y, this.#source, this.#at) ?? [""];
    if (!mayBegin || (!scheme && this.#complete)) return this.#pass(1, "h");
    if (!scheme) return this.#wait(/^/);
    this.#bare = { element: made("a"), text: "" };
    this.#append(this.#bare.element);
    this.#text.into(this.#bare.element);
  }

  /** @param {{element: HTMLElement, text: string}} bare */
  #readBare(bare) {
    const [chunk] = matchAt(/[^\s<]*/y, this.#source, this.#at) ?? [""];
    const isOpen = this.#isOpen(this.#at + chunk.length);
    const before = bare.text.length;
    const end = isOpen ? withoutPunctuation(chunk) : addressEnd(bare.text + chunk) - before;
    const more = chunk.slice(0, end);
    bare.text += more;
    this.#pass(end, more);
    if (isOpen) return this.#wait(/[^?!.,:;*_~'")\]]/);
    const address = webAddress(bare.text);
    if (address) linkTo(bare.element, address);
    else unwrap(bare.element);
    this.#bare = null;
    this.#text.into(this.#place);
  }

  /** Code spans (6.1). */
  #startCode() {
    const run = runLength(this.#source, this.#at);
    if (this.#isOpen(this.#at + run)) return this.#wait(/[^`]/);
    const hasEnd = (this.#backticks.get(run) ?? 0) > this.#at;
    if (this.#complete && !hasEnd) return this.#pass(run, "`".repeat(run));
    this.#code = new CodeSpan(run, lastCharacter(this.#source, this.#at) || this.#last);
    this.#append(this.#code.element);
    this.#at += run;
  }

  /** @param {CodeSpan} code */
  #readCode(code) {
    const start = this.#at;
    const found = this.#source.indexOf("`", start);
    const text = this.#source.slice(start, found < 0 ? this.#source.length : found);
    const run = found < 0 ? 0 : runLength(this.#source, found);
    const isOpen = run > 0 && this.#isOpen(found + run);
    this.#at += text.length;
    code.add(text);
    if (isOpen) return this.#wait(/[^`]/);
    this.#at += run;
    if (run !== code.run) return code.add("`".repeat(run));
    code.end();
    this.#code = null;
  }

  /** The code never ended: it is text. @param {CodeSpan} code */
  #reopen(code) {
    code.element.remove();
    this.#source = "`".repeat(code.run) + code.source + this.#source;
    this.#last = code.before;
    this.#code = null;
  }

  #readExclamation() {
    if (this.#isOpen(this.#at + 1)) this.#wait(/^/);
    else if (this.#source[this.#at + 1] === "[") this.#openBracket("![");
    else this.#pass(1, "!");
  }

  /** @param {string} text */
  #openBracket(text) {
    const shown = this.#shown.filter(({ char }) => char === "[" || char === "!").length;
    const bracket = this.#push(text, 1, false, false);
    this.#brackets.push(bracket);
    this.#at += text.length;
    if (shown < SHOWN_LINKS) this.#show(bracket, ["a"]);
  }

  /** A bracket closes: it ends the text of a link (6.3), or it is text. */
  #readBracket() {
    const bracket = this.#brackets.at(-1);
    if (bracket && this.#isActive(bracket)) {
      if (this.#isOpen(this.#at + 1)) return this.#wait(/^/);
      if (this.#source[this.#at + 1] === "(") return this.#startTail();
    }
    this.#closeBracket();
  }

  #closeBracket() {
    const bracket = this.#brackets.pop();
    if (bracket) this.#drop(bracket);
    this.#resume();
    this.#pass(1, "]");
  }

  #startTail() {
    this.#tail = linkTail();
    this.#tail.next();
    if (this.#readTail(this.#source.slice(this.#at + 2))) return;
    if (this.#complete) this.#endTail(null);
    else this.#wait(/^/);
  }

  /** @param {string} text @returns {boolean} the tail has ended */
  #readTail(text) {
    for (let at = 0; at < text.length; at++) {
      const step = this.#tail?.next(text[at]);
      if (!step?.done) continue;
      this.#endTail(step.value, this.#source.length - text.length + at + 1);
      return true;
    }
    return false;
  }

  /** @param {{destination: string, title: string} | null} link @param {number} [end] */
  #endTail(link, end = 0) {
    this.#tail = null;
    const address = link && webAddress(unescaped(link.destination));
    const isLink = address && this.#closeLink(address, unescaped(link.title));
    if (isLink) this.#at = end;
    else this.#closeBracket();
  }

  /** @param {string} address @param {string} title @returns {boolean} false if it is too deep */
  #closeLink(address, title) {
    const bracket = this.#brackets.at(-1);
    if (!bracket) return false;
    if (this.#deferred && this.#deferred.serial > bracket.serial) this.#deferred = null;
    for (let each = bracket.next; each; each = each.next) {
      if (each.closes) this.#close(each, bracket.serial);
    }
    while (bracket.next) this.#drop(bracket.next);
    if (bracket.height >= INLINES) return false;
    const isImage = bracket.char === "!";
    let element = bracket.elements[0];
    if (!element) {
      element = made("a");
      bracket.node.after(element);
      bracket.node.remove();
      moveFrom(element.nextSibling, element, null);
    }
    for (const inner of element.querySelectorAll("a")) unwrap(inner);
    if (isImage) {
      for (const br of element.querySelectorAll("br")) br.replaceWith("\n");
      element.textContent = element.textContent;
    }
    linkTo(element, address, title);
    this.#brackets.pop();
    bracket.height++;
    if (!isImage) this.#inactiveBefore = bracket.serial;
    this.#forget(bracket);
    this.#text.into(this.#place);
    this.#resume();
    return true;
  }

  /** @param {Delimiter} bracket */
  #isActive({ char, serial }) {
    return char === "!" ? this.#inactiveBefore < Infinity : serial > this.#inactiveBefore;
  }

  /** Delimiter runs (6.2). */
  #readRun() {
    const char = this.#source[this.#at];
    const count = runLength(this.#source, this.#at);
    const end = this.#at + count;
    if (this.#isOpen(end)) return this.#wait(OTHER_THAN[char]);
    if (char === "~" && count === 1) return this.#pass(1, char);
    const before = lastCharacter(this.#source, this.#at) || this.#last;
    const after = String.fromCodePoint(this.#source.codePointAt(end) ?? 32);
    const isLeft = isFlanking(before, after);
    const isRight = isFlanking(after, before);
    const opens = isLeft && (char !== "_" || !isRight || isPunctuation(before));
    const closes = isRight && (char !== "_" || !isLeft || isPunctuation(after));
    this.#at = end;
    if (opens || closes) this.#delimit(char.repeat(count), opens, closes);
    else this.#pass(0, char.repeat(count));
  }

  /** @param {string} run @param {boolean} opens @param {boolean} closes */
  #delimit(run, opens, closes) {
    const delimiter = this.#push(run, run.length, opens, closes);
    if (closes && !this.#deferred) this.#close(delimiter);
    if (!opens || delimiter.count < run.length || (closes && this.#deferred)) return;
    // A `*` within a word is rather a sign than an opener.
    const isSign = closes && run === "*";
    if (!isSign && run in SHOWN_AS) this.#show(delimiter, SHOWN_AS[run]);
  }

  /**
   * Adds to the list.
   * @param {string} text
   * @param {number} count
   * @param {boolean} opens
   * @param {boolean} closes
   */
  #push(text, count, opens, closes) {
    const delimiter = newDelimiter(text, count, ++this.#serial);
    delimiter.opens = opens;
    delimiter.closes = closes;
    delimiter.written = this.#written;
    delimiter.previous = this.#newest;
    this.#newest.next = delimiter;
    this.#newest = delimiter;
    this.#place.append(delimiter.node);
    this.#text.into(this.#place);
    return delimiter;
  }

  /**
   * Shows the construct of an opener, as if it ended here.
   * @param {Delimiter} delimiter
   * @param {string[]} names
   */
  #show(delimiter, names) {
    if (this.#shown.length >= SHOWN) return;
    delimiter.elements = names.map((name) => made(name));
    delimiter.elements.reduce((outer, inner) => (outer.append(inner), inner));
    delimiter.node.replaceWith(delimiter.elements[0]);
    this.#shown.push(delimiter);
    this.#text.into(this.#place);
  }

  /** Shows a delimiter as text. @param {Delimiter} delimiter */
  #hide(delimiter) {
    const [outer] = delimiter.elements;
    const inner = delimiter.elements.at(-1);
    if (!outer || !inner) return;
    outer.before(delimiter.node);
    delimiter.elements = [];
    this.#shown.splice(this.#shown.indexOf(delimiter), 1);
    unwrap(inner, outer);
    this.#text.into(this.#place);
  }

  /** A delimiter is text, or it is used up. @param {Delimiter} delimiter */
  #drop(delimiter) {
    this.#hide(delimiter);
    if (!delimiter.count) {
      delimiter.node.remove();
      this.#text.into(this.#place);
    }
    this.#forget(delimiter);
  }

  /** Removes from the list, and from those shown. @param {Delimiter} delimiter */
  #forget(delimiter) {
    const { previous, next } = delimiter;
    if (!previous) return;
    previous.next = next;
    previous.height = Math.max(previous.height, delimiter.height);
    if (next) next.previous = previous;
    else this.#newest = previous;
    delimiter.previous = null; // A bracket may be forgotten before its end comes.
    if (!delimiter.elements.length) return;
    this.#shown.splice(this.#shown.indexOf(delimiter), 1);
    this.#text.into(this.#place);
  }

  /** Goes on with the closers that have waited for the end of a bracket. */
  #resume() {
    while (this.#deferred) {
      const closer = this.#deferred;
      let next = closer.next;
      while (next && !next.closes) next = next.next;
      this.#deferred = null;
      this.#close(closer);
      if (this.#deferred) return;
      this.#deferred = next;
    }
  }

  /**
   * Finds the openers of a closer.
   * @param {Delimiter} closer
   * @param {number} [floor] they are behind it
   */
  #close(closer, floor) {
    const unit = closer.char === "~" ? 2 : 1;
    while (closer.count >= unit) {
      const opener = this.#openerOf(closer, floor);
      if (!opener) break;
      if (this.#deferred) return;
      if (!this.#pair(opener, closer)) break;
    }
    if (!closer.opens || !closer.count) this.#drop(closer);
  }

  /** @param {Delimiter} closer @param {number} [floor] */
  #openerOf(closer, floor) {
    const kind = `${closer.char}${closer.opens}${closer.length % 3}`;
    const bottom = floor ?? this.#bottoms.get(kind) ?? 0;
    let behindBracket = false;
    for (let each = closer.previous; each && each.serial > bottom; each = each.previous) {
      if (each.char === "[" || each.char === "!") behindBracket ||= this.#isActive(each);
      else if (each.char === closer.char && each.opens && mayPair(each, closer)) {
        if (behindBracket) this.#deferred = closer;
        return each;
      }
    }
    if (floor === undefined) this.#bottoms.set(kind, closer.previous?.serial ?? 0);
    return null;
  }

  /**
   * Makes an element of an opener, a closer and all between them.
   * @param {Delimiter} opener
   * @param {Delimiter} closer
   */
  #pair(opener, closer) {
    while (opener.next && opener.next !== closer) this.#drop(opener.next);
    if (opener.height >= INLINES) {
      this.#drop(opener);
      return false;
    }
    const used = opener.count > 1 && closer.count > 1 ? 2 : 1;
    const name = opener.char === "~" ? "s" : used > 1 ? "strong" : "em";
    const shown = opener.elements.at(-1);
    if (shown?.localName === name) {
      if (shown.parentElement) moveFrom(closer.node, shown.parentElement, shown.nextSibling);
      opener.elements.pop();
      if (!opener.elements.length) this.#shown.splice(this.#shown.indexOf(opener), 1);
    } else {
      this.#hide(opener);
      const element = made(name);
      opener.node.after(element);
      while (element.nextSibling && element.nextSibling !== closer.node) {
        element.append(element.nextSibling);
      }
    }
    opener.count -= used;
    closer.count -= used;
    opener.height++;
    opener.node.data = opener.char.repeat(opener.count);
    closer.node.data = closer.char.repeat(closer.count);
    if (!opener.count) this.#drop(opener);
    this.#text.into(this.#place);
    return true;
  }
}

/** A code span (6.1), which is shown as it grows. */
class CodeSpan {
  element = made("code");
  /** All that was added. */
  source = "";
  #text = new GrowingText(this.element);
  /** White space that is shown only if something follows. */
  #held = "";
  #hasLead = false;
  #isEmpty = true;

  /** @param {number} run the length of the backticks @param {string} before the character before */
  constructor(run, before) {
    this.run = run;
    this.before = before;
  }

  /** @param {string} text */
  add(text) {
    this.source += text;
    const shown = text.replaceAll("\n", " ");
    if (this.#isEmpty && /^ *$/.test(shown)) {
      this.#held += shown;
      return;
    }
    let all = this.#held + shown;
    if (this.#isEmpty) {
      this.#hasLead = all[0] === " ";
      this.#isEmpty = false;
      if (this.#hasLead) all = all.slice(1);
    }
    this.#held = all.endsWith(" ") ? " " : "";
    this.#text.add(all.slice(0, all.length - this.#held.length));
  }

  /** One space at both ends is none. */
  end() {
    if (!this.#isEmpty && this.#hasLead && this.#held) return;
    if (this.#hasLead) this.element.prepend(" ");
    this.#text.add(this.#held);
  }
}

/** Text at the end of an element, in nodes that are never long. */
class GrowingText {
  #element;
  /** @type {Text | null} */
  #node = null;

  /** @param {Element} element */
  constructor(element) {
    this.#element = element;
  }

  /** Goes on behind the nodes of an element. @param {Element} element */
  into(element) {
    this.#element = element;
    this.#node = null;
  }

  /** @param {string} text */
  add(text) {
    if (!text) return;
    if (this.#node && this.#node.length < FULL) this.#node.appendData(text);
    else this.#element.append((this.#node = document.createTextNode(text)));
  }
}

/** Reads the part behind the text of a link (6.3), given one character at a time. */
function* linkTail() {
  /** @type {string} */
  let char = yield;
  while (isWhite(char)) char = yield;
  let destination = "";
  let title = "";
  if (char === "<") {
    for (char = yield; char !== ">"; char = yield) {
      if (char === "\\") {
        destination += char;
        char = yield;
      }
      if (char === "\n" || char === "<") return null;
      destination += char;
    }
    char = yield;
  } else {
    for (let depth = 0; char > " " && char !== "\x7f" && (char !== ")" || depth); ) {
      if (char === "(" && ++depth > 32) return null;
      if (char === ")") depth--;
      destination += char;
      const isEscape = char === "\\";
      char = yield;
      if (!isEscape || !PUNCTUATION.test(char)) continue;
      destination += char;
      char = yield;
    }
  }
  const isSpaced = isWhite(char);
  while (isWhite(char)) char = yield;
  const close = isSpaced ? { '"': '"', "'": "'", "(": ")" }[char] : "";
  if (close) {
    for (char = yield; char !== close; char = yield) {
      if (char === "(" && close === ")") return null;
      title += char;
      if (char === "\\") title += char = yield;
    }
    char = yield;
    while (isWhite(char)) char = yield;
  }
  return char === ")" ? { destination, title } : null;
}

/** @param {string} char @param {number} count @param {number} serial @returns {Delimiter} */
function newDelimiter(char, count, serial) {
  return {
    char: char[0] ?? "",
    count,
    length: count,
    opens: false,
    closes: false,
    node: document.createTextNode(char),
    elements: [],
    height: 0,
    serial,
    written: 0,
    previous: null,
    next: null,
  };
}

/** The rule of three (6.2, rules 9 and 10). @param {Delimiter} opener @param {Delimiter} closer */
function mayPair(opener, closer) {
  if (opener.char === "~") return opener.count > 1;
  if (!opener.closes && !closer.opens) return true;
  return (opener.length + closer.length) % 3 > 0 || opener.length % 3 === 0;
}

/**
 * A run is left-flanking; with the two swapped, right-flanking (6.2).
 * @param {string} before
 * @param {string} after
 */
function isFlanking(before, after) {
  if (WHITE_SPACE.test(after)) return false;
  return !isPunctuation(after) || WHITE_SPACE.test(before) || isPunctuation(before);
}

const STRONG = /\p{L}/u;
const RIGHT_TO_LEFT =
  /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const SPECIAL = /[\\`*_~[\]!&<\n]|(?<![A-Za-z0-9])h(?:ttps?:\/\/|t{0,2}$|ttps?(?::\/?)?$)/g;
const PUNCTUATION = /[!-/:-@[-`{-~]/;
const WHITE_SPACE = /[\t\n\v\f\r\p{Zs}]/u;
const ADDRESS = /^[A-Za-z][A-Za-z0-9+.-]{1,31}:/;
const MAIL =
  /^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/;
const ENTITY = /&(?:#[xX][0-9a-fA-F]{1,6}|#[0-9]{1,7}|[A-Za-z][A-Za-z0-9]{1,31});/y;
const ENTITY_SO_FAR = /&(?:#(?:[xX][0-9a-fA-F]{0,6}|[0-9]{0,7})|[A-Za-z][A-Za-z0-9]{0,31})?$/y;
const ESCAPED =
  /\\([!-/:-@[-`{-~])|&(?:#[xX][0-9a-fA-F]{1,6}|#[0-9]{1,7}|[A-Za-z][A-Za-z0-9]{1,31});/g;
const AFTER_ADDRESS = "?!.,:;*_~'\")]";
/** @type {Record<string, RegExp>} */
const OTHER_THAN = { "*": /[^*]/, _: /[^_]/, "~": /[^~]/ };
/** @type {Record<string, string[]>} */
const SHOWN_AS = {
  "*": ["em"],
  _: ["em"],
  "**": ["strong"],
  __: ["strong"],
  "***": ["em", "strong"],
  ___: ["em", "strong"],
  "~~": ["s"],
};

/** The entities U+00A0 to U+00FF. */
const LATIN =
  "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn " +
  "sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave " +
  "Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml " +
  "ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN " +
  "szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave " +
  "iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute " +
  "ucirc uuml yacute thorn yuml";
/** The entities U+03B1 to U+03C9, and the capitals 32 places before. */
const GREEK =
  "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigmaf " +
  "sigma tau upsilon phi chi psi omega";
const SIGNS =
  "quot\" amp& lt< gt> apos' ndash– mdash— hellip… lsquo‘ rsquo’ sbquo‚ ldquo“ rdquo” bdquo„ " +
  "lsaquo‹ rsaquo› bull• dagger† Dagger‡ permil‰ prime′ Prime″ euro€ trade™ larr← uarr↑ rarr→ " +
  "darr↓ harr↔ lArr⇐ rArr⇒ hArr⇔ forall∀ part∂ exist∃ empty∅ nabla∇ isin∈ notin∉ prod∏ sum∑ " +
  "minus− radic√ infin∞ and∧ or∨ cap∩ cup∪ int∫ sim∼ asymp≈ ne≠ equiv≡ le≤ ge≥ sub⊂ sup⊃ check✓ " +
  "star☆ OElig\u0152 oelig\u0153 Scaron\u0160 scaron\u0161";

/** @type {Map<string, string>} */
const ENTITIES = new Map([
  ...LATIN.split(" ").map(named(0xa0)),
  ...GREEK.split(" ").map(named(0x3b1)),
  ...GREEK.split(" ")
    .map((name) => name[0].toUpperCase() + name.slice(1))
    .map(named(0x391)),
  ...SIGNS.split(" ").map((each) => pair(each.slice(0, -1), each.slice(-1))),
]);
ENTITIES.delete("Sigmaf");

/** @param {number} first */
function named(first) {
  /** @param {string} name @param {number} index */
  return (name, index) => pair(name, String.fromCodePoint(first + index));
}

/** @param {string} name @param {string} character @returns {[string, string]} */
function pair(name, character) {
  return [name, character];
}

/** @param {string} entity with its `&` and `;` */
function characterOf(entity) {
  const name = entity.slice(1, -1);
  if (name[0] !== "#") return ENTITIES.get(name) ?? entity;
  const code = /[xX]/.test(name[1]) ? parseInt(name.slice(2), 16) : parseInt(name.slice(1), 10);
  const isControl =
    (code < 0x20 && !/\s/.test(String.fromCharCode(code))) || (code > 0x7e && code < 0xa0);
  const isNone = code > 0x10ffff || (code >= 0xd800 && code < 0xe000) || (code & 0xfffe) === 0xfffe;
  return isControl || isNone || (code >= 0xfdd0 && code < 0xfdf0)
    ? "\ufffd"
    : String.fromCodePoint(code);
}

/** @param {string} text with escapes and entities */
function unescaped(text) {
  return text.replaceAll(ESCAPED, (all, escaped) => escaped ?? characterOf(all));
}

/** The address if a link may go there, or "". @param {string} text */
function webAddress(text) {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url && /^(?:https?|mailto):$/.test(url.protocol) ? url.href : "";
}

/** @param {HTMLElement} element @param {string} address @param {string} [title] */
function linkTo(element, address, title) {
  const link = /** @type {HTMLAnchorElement} */ (element);
  link.href = address;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  if (title) link.title = title;
}

/** The end of a bare address, before punctuation that is no part of it. @param {string} text */
function addressEnd(text) {
  let unclosed = 0;
  for (const char of text) unclosed += char === "(" ? 1 : char === ")" ? -1 : 0;
  let end = text.length;
  for (; AFTER_ADDRESS.includes(text[end - 1]); end--) {
    if (text[end - 1] === ")" && unclosed++ >= 0) break;
  }
  return end;
}

/** @param {string} text */
function withoutPunctuation(text) {
  let end = text.length;
  while (AFTER_ADDRESS.includes(text[end - 1])) end--;
  return end;
}

/** @param {string} name @param {string} [className] @returns {HTMLElement} */
function made(name, className) {
  const element = document.createElement(name);
  if (className) element.className = className;
  return element;
}

/**
 * Makes an element that scrolls in itself reachable by keyboard.
 * @param {HTMLElement} element
 * @param {string} name
 */
function scrollable(element, name) {
  element.tabIndex = 0;
  element.role = "group";
  element.ariaLabel = name;
}

/**
 * Puts the nodes of an element in the place of another one around it.
 * @param {Element} element
 * @param {Element} [outer]
 */
function unwrap(element, outer = element) {
  while (element.firstChild) outer.before(element.firstChild);
  outer.remove();
}

/**
 * Moves a node and all behind it.
 * @param {Node | null} first
 * @param {Element} parent
 * @param {Node | null} before
 */
function moveFrom(first, parent, before) {
  for (let node = first; node; ) {
    const next = node.nextSibling;
    parent.insertBefore(node, before);
    node = next;
  }
}

/** @param {RegExp} pattern sticky @param {string} text @param {number} at */
function matchAt(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** @param {string | undefined} char */
function isSpace(char) {
  return char === " " || char === "\t";
}

/** @param {string} char */
function isWhite(char) {
  return isSpace(char) || char === "\n";
}

/** @param {string} char */
function isPunctuation(char) {
  return /[\p{P}\p{S}]/u.test(char);
}

/** @param {string} text @param {number} from @returns {boolean} there is nothing but white space */
function isSpaces(text, from) {
  while (isSpace(text[from])) from++;
  return from === text.length;
}

/** How often a character is there in a row. @param {string} text @param {number} at */
function runLength(text, at) {
  let end = at + 1;
  while (text[end] === text[at]) end++;
  return end - at;
}

/** @param {string} text @param {number} end */
function spacesBefore(text, end) {
  let start = end;
  while (isSpace(text[start - 1])) start--;
  return end - start;
}

/** @param {string} text */
function trimmedStart(text) {
  let start = 0;
  while (isSpace(text[start])) start++;
  return text.slice(start);
}

/** @param {string} text */
function trimmed(text) {
  return trimmedStart(text.slice(0, text.length - spacesBefore(text, text.length)));
}

/** The character that ends at this place. @param {string} text @param {number} end */
function lastCharacter(text, end) {
  const isPair = /[\udc00-\udfff]/.test(text[end - 1]) && /[\ud800-\udbff]/.test(text[end - 2]);
  return text.slice(Math.max(0, isPair ? end - 2 : end - 1), end);
}
