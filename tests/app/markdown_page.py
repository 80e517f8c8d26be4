"""markdown.js in Chromium, under the page's policy, and markdown-it-py to compare it with."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt, rules_block
from markdown_it.rules_block import StateBlock
from playwright.async_api import Page

from app.api import assets
from tests.app.scripted_server import Server, answer
from tests.chromium import chromium

MODULE = Path(__file__).parents[2] / "src/app/web/markdown.js"
DEADLINE = 10

# A tree is a list: texts, and elements as [name, {attribute: value}, *children].
Tree = list[Any]

# `seen` reads the nodes in the form in which `expected` has them. `cuts` compares, for each text,
# the nodes after pieces with those of the whole; `whole` returns those of the whole.
HARNESS = """
import { Markdown } from "/markdown.js";
const KEPT = ["href", "title", "start", "class"];
const read = (node, into) => {
  for (const child of node.childNodes) {
    const name = child.localName;
    if (child.nodeType === 3) {
      if (typeof into.at(-1) === "string") into[into.length - 1] += child.data;
      else if (child.data) into.push(child.data);
    } else if (name === "input") {
      into.push([name, { checked: child.checked }]);
    } else if (child.className === "code-head") {
      continue;
    } else if (name === "div" || (name === "p" && child.parentNode.matches(".tight > li"))) {
      read(child, into);
    } else {
      const attributes = {};
      for (const attribute of KEPT) {
        const value = child.getAttribute(attribute);
        if (value !== null) attributes[attribute] = value;
      }
      if (["pre", "li", "ul", "ol"].includes(name)) delete attributes.class;
      const element = [name, attributes];
      into.push(element);
      read(child, element);
    }
  }
  return into;
};
const seen = (element) => read(element, []);
const rendered = (pieces) => {
  const element = document.createElement("div");
  const markdown = new Markdown(element);
  for (const piece of pieces) markdown.add(piece);
  markdown.end();
  return element;
};
const whole = (texts) => texts.map((text) => seen(rendered([text])));
const same = (href) => (URL.canParse(href) ? new URL(href).href : href);
const cutsOf = (text, few) => {
  const all = few ? few.map((at) => [text.slice(0, at), text.slice(at)]) : [];
  if (!few) for (let at = 1; at < text.length; at++) all.push([text.slice(0, at), text.slice(at)]);
  all.push([...Array(text.length).keys()].map((at) => text[at]));
  return all;
};
/** The cuts of each text after which the nodes differ from those of the whole text. */
const cuts = (texts, few) =>
  texts.flatMap((text) => {
    const expected = JSON.stringify(seen(rendered([text])));
    return cutsOf(text, few)
      .filter((pieces) => JSON.stringify(seen(rendered(pieces))) !== expected)
      .map((pieces) => (pieces.length > 2 ? [text] : pieces));
  });
const addressed = (tree) => {
  for (const child of tree) {
    if (!Array.isArray(child)) continue;
    if ("href" in child[1]) child[1].href = same(child[1].href);
    addressed(child.slice(2));
  }
  return tree;
};
const ordered = (tree) =>
  tree.map((child) =>
    Array.isArray(child)
      ? [child[0], Object.entries(child[1]).sort(), ...ordered(child.slice(2))]
      : child);
/** The texts whose nodes differ from the expected tree: [text, expected, nodes]. */
const differing = (texts, expected) =>
  texts.flatMap((text, index) => {
    const is = seen(rendered([text]));
    const should = addressed(expected[index]);
    const equal = JSON.stringify(ordered(is)) === JSON.stringify(ordered(should));
    return equal ? [] : [[text, should, is]];
  });
Object.assign(window, { Markdown, seen, rendered, whole, cuts, differing });
window.ready = true;
"""


@asynccontextmanager
async def markdown_page() -> AsyncIterator[Page]:
    """A page with markdown.js. An uncaught error, or a violation of the policy, fails the test."""
    faults: list[str] = []
    page_of_scripts = b"<!doctype html><title>x</title><script type=module src=/harness.js></script>"
    script = "text/javascript"
    files = {
        "/": answer(200, page_of_scripts, "text/html", policy=assets._POLICY),
        "/harness.js": answer(200, HARNESS.encode(), script),
        "/markdown.js": answer(200, MODULE.read_bytes(), script),
        "/favicon.ico": answer(204),
    }
    server = Server(files)
    async with chromium() as browser, await asyncio.start_server(server.serve, "127.0.0.1") as at:
        context = await browser.new_context()
        await context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = await context.new_page()
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        await page.goto(f"http://127.0.0.1:{at.sockets[0].getsockname()[1]}/")
        await page.locator("script").first.wait_for(state="attached")
        async with asyncio.timeout(DEADLINE):
            while not await page.evaluate("window.ready"):
                assert not faults, faults
        yield page
        await context.close()
    assert faults == [], str(faults)


class _Oracle(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802
        return bool(re.match(r"(https?|mailto):", url, re.IGNORECASE))


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:  # noqa: FBT001
    """markdown-it-py's rule, except that a line which begins another block is no header."""
    others = (rules_block.blockquote, rules_block.heading, rules_block.hr, rules_block.list_block)
    if any(rule(state, start, end, True) for rule in (*others, rules_block.fence)):
        return False
    return rules_block.table(state, start, end, silent)


def oracle() -> MarkdownIt:
    """markdown-it-py with the subset: links as ours, no references, no bound that it may reach."""
    options = {"html": False, "maxNesting": 400}
    made = _Oracle("commonmark", options).enable(["table", "strikethrough"]).disable("reference")
    made.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    return made


ORACLE = oracle()


def expected(text: str) -> Tree:
    """The tree of markdown-it-py's HTML."""
    reader = _Reader()
    reader.feed(ORACLE.render(text if text.endswith("\n") else f"{text}\n"))
    reader.close()
    tree: Tree = _tidy(reader.root, "")
    return tree


class _Reader(HTMLParser):
    """Reads HTML into a tree."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root: Tree = []
        self._open: list[Tree] = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if (style := given.pop("style", "")) :
            given["class"] = style.removeprefix("text-align:")
        element: Tree = [tag, given]
        self._open[-1].append(element)
        if tag not in {"br", "hr", "img"}:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"br", "hr", "img"}:
            assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self._open[-1].append(data)


_BLOCKS = set("p h1 h2 h3 h4 h5 h6 ul ol li blockquote pre hr table thead tbody tr th td".split())
_HOLDERS = {"", "ul", "ol", "li", "blockquote", "table", "thead", "tbody", "tr"}


def _tidy(children: Tree, parent: str, *, in_link: bool = False) -> Tree:
    """Leaves out what only HTML has, and does what is by design (docstring of markdown.js)."""
    out: Tree = []
    for index, child in enumerate(children):
        if isinstance(child, str):
            beside = [*children[max(0, index - 1) : index], *children[index + 1 : index + 2]]
            text = child
            if parent in _HOLDERS and any(isinstance(e, list) and e[0] in _BLOCKS for e in beside):
                if index and isinstance(children[index - 1], list):
                    text = text.removeprefix("\n")
                if index + 1 < len(children):
                    text = text.removesuffix("\n")
            elif parent in _HOLDERS and parent != "li":
                text = ""
            elif index and isinstance(children[index - 1], list) and children[index - 1][0] == "br":
                text = text.removeprefix("\n")
            _append(out, text)
            continue
        name, attributes, *inside = child
        if name == "img":
            name, inside = "a", [attributes.pop("alt")]
            attributes["href"] = attributes.pop("src")
        if name == "a" and in_link:
            for each in _tidy(inside, name, in_link=True):
                _append(out, each)
            continue
        done = _tidy(inside, name, in_link=in_link or name == "a")
        out.append([name, attributes, *done])
    return out


def _append(out: Tree, child: Any) -> None:
    if isinstance(child, str) and out and isinstance(out[-1], str):
        out[-1] += child
    elif child:
        out.append(child)


def with_tasks(tree: Tree) -> Tree:
    """The tree with the boxes of task lists, which markdown-it-py does not know."""
    for child in tree:
        if not isinstance(child, list):
            continue
        with_tasks(child)
        if child[0] != "li" or len(child) < 3:
            continue
        holder, at = (child, 2)
        if isinstance(child[2], list) and child[2][0] == "p":
            holder = child[2]
        text = holder[at] if len(holder) > at else None
        if isinstance(text, str) and (match := re.match(r"\[([ xX])\][ \t]+", text)):
            holder[at : at + 1] = [["input", {"checked": match[1] != " "}], " " + text[match.end():]]
    return tree
