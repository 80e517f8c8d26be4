"""markdown.js in Chromium, under the page's policy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, ConsoleMessage, Page

from app.api import assets
from tests.app.scripted_server import Server, answer

MODULE = Path(__file__).parents[2] / "src/app/web/markdown.js"
DEADLINE = 10

# `seen` reads the nodes in the form of tests/app/markdown_oracle.py.
HARNESS = """
import { Markdown } from "/markdown.js";
const KEPT = ["href", "title", "start", "class"];
const plain = (href) => {
  try {
    return decodeURI(new URL(href).href);
  } catch {
    return href;
  }
};
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
      into.push(read(child, [name, attributes]));
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
/** In a form in which equal trees are equal texts; `spaces` of code in a line do not count. */
const form = (tree, spaces, parent = "") =>
  tree.map((child) => {
    const isLine = spaces && parent === "p";
    if (!Array.isArray(child)) return isLine ? child.replaceAll(/\\s+/g, " ") : child;
    const [name, attributes, ...inside] = child;
    const all = Object.entries(attributes).sort();
    const kept = all.map(([key, value]) => [key, key === "href" ? plain(value) : value]);
    return [name, kept, ...form(inside, spaces, name === "code" && parent !== "pre" ? "p" : name)];
  });
/** The texts whose nodes differ from the expected trees: [text, expected, nodes]. */
const differing = (texts, trees, spaces) =>
  texts.flatMap((text, index) => {
    const is = JSON.stringify(form(seen(rendered([text])), spaces));
    const should = JSON.stringify(form(trees[index], spaces));
    return is === should ? [] : [[text, should, is]];
  });
/** All cuts of a text in two, or at these places; and all its halves of characters. */
const cutsOf = (text, places) => {
  const all = [];
  for (let at = 1; at < text.length; at++) {
    if (!places || places.includes(at)) all.push([text.slice(0, at), text.slice(at)]);
  }
  return [...all, text.split("")];
};
/** The cuts of each text after which the nodes differ from those of the whole text. */
const cuts = (texts, places) =>
  texts.flatMap((text) => {
    const expected = JSON.stringify(seen(rendered([text])));
    return cutsOf(text, places).filter(
      (pieces) => JSON.stringify(seen(rendered(pieces))) !== expected);
  });
/** What is shown after this text, before the end. */
const shown = (text) => {
  const element = document.createElement("div");
  const markdown = new Markdown(element);
  for (const half of text) markdown.add(half);
  return seen(element);
};
Object.assign(window, { Markdown, seen, rendered, cuts, differing, shown });
window.ready = true;
"""


PAGE = b"<!doctype html><title>x</title><script type=module src=/harness.js></script>"
SCRIPT = "text/javascript"
FILES = {
    "/": answer(200, PAGE, "text/html", policy=assets._POLICY),
    "/harness.js": answer(200, HARNESS.encode(), SCRIPT),
    "/markdown.js": answer(200, MODULE.read_bytes(), SCRIPT),
    "/favicon.ico": answer(204),
}


@asynccontextmanager
async def markdown_page(browser: Browser) -> AsyncIterator[Page]:
    """A page with markdown.js. An uncaught error, or a violation of the policy, fails the test."""
    faults: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.append(message.text)

    server = Server(FILES)
    async with await asyncio.start_server(server.serve, "127.0.0.1") as listener:
        context = await browser.new_context()
        await context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = await context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: faults.append(str(error)))
        await page.goto(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/")
        async with asyncio.timeout(DEADLINE):
            while not await page.evaluate("window.ready"):
                assert not faults, faults
        yield page
        await context.close()
    assert faults == [], str(faults)
