"""markdown.js in Chromium: its nodes are those of markdown-it-py, and nothing jumps on the way.

What differs from markdown-it-py by design is in the docstring of markdown.js. BY_DESIGN has what
else a made-up text must not contain to be compared: there markdown-it-py differs from CommonMark.
"""

import html.entities
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.async_api import Browser, Page

from app.api import scripts
from tests.app.markdown_oracle import Tree, expected
from tests.app.markdown_page import MODULE, markdown_page
from tests.chromium import chromium

pytestmark = [pytest.mark.anyio, pytest.mark.chromium]

EXAMPLES: dict[str, list[str]] = json.loads(
    Path(__file__).with_name("markdown_examples.json").read_text()
)
TEXTS = [text for section in EXAMPLES.values() for text in section]

BATCHES = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def browser(anyio_backend: str) -> AsyncIterator[Browser]:
    assert anyio_backend == "asyncio"
    async with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    async with markdown_page(browser) as page:
        yield page


async def differing(page: Page, texts: list[str], *, spaces: bool = False) -> Any:
    trees = [expected(text) for text in texts]
    call = "([texts, trees, spaces]) => differing(texts, trees, spaces)"
    return await page.evaluate(call, [texts, trees, spaces])


async def tree(page: Page, text: str) -> Any:
    return await page.evaluate("text => seen(rendered([text]))", text)


# The result


async def test_examples_are_as_markdown_it_py_has_them(page: Page) -> None:
    assert len(TEXTS) > 300
    assert await differing(page, TEXTS) == []


async def test_examples_are_the_same_however_they_are_cut(page: Page) -> None:
    assert await page.evaluate("texts => cuts(texts)", TEXTS) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see https://a.b/c?d=e_f_g.", ["see ", "https://a.b/c?d=e_f_g", "."]),
        ("(https://a.b/c(d))", ["(", "https://a.b/c(d)", ")"]),
        ("**https://a.b**", [["strong", {}, "https://a.b"]]),
        ("http://localhost:80/ x", ["http://localhost:80/", " x"]),
        ("https://a.b<c", ["https://a.b", "<c"]),
        ("xhttps://a.b", ["xhttps://a.b"]),
        ("https://", ["https://"]),
        ("https://a.b, http://c.d!", ["https://a.b", ", ", "http://c.d", "!"]),
        ("[https://a.b]", ["[https://a.b]"]),
        ('"https://a.b"', ['"', "https://a.b", '"']),
        ("见https://a.b", ["见", "https://a.b"]),
        ("https://a.b/é", ["https://a.b/é"]),
        ("javascript://a.b", ["javascript://a.b"]),
    ],
)
async def test_bare_addresses_are_links_as_in_gfm(page: Page, text: str, shown: Tree) -> None:
    def plain(node: Any) -> Any:
        if isinstance(node, str):
            return node
        return (
            node[2] if node[0] == "a" and "href" in node[1] else [*node[:2], *map(plain, node[2:])]
        )

    [[_, _, *inside]] = await tree(page, text)
    assert list(map(plain, inside)) == shown
    assert await page.evaluate("text => cuts([text])", text) == []


async def test_the_entities_that_it_knows_are_those_of_html(page: Page) -> None:
    names = sorted({name.rstrip(";") for name in html.entities.html5})
    text = "".join(f"&{name};\n" for name in names)
    [[_, _, said]] = await tree(page, text)
    known = 0
    for name, shown in zip(names, said.split("\n"), strict=True):
        if shown != f"&{name};":
            assert shown == html.entities.html5[f"{name};"], name
            known += 1
    assert known > 200


async def test_no_more_than_50_containers_and_50_inline_elements_are_in_each_other(
    page: Page,
) -> None:
    depth = """text => {
      let depth = 0;
      for (const element of rendered([text]).querySelectorAll("*")) {
        let at = 0;
        for (let up = element; up; up = up.parentElement) at++;
        depth = Math.max(depth, at);
      }
      return depth;
    }"""
    assert await page.evaluate(depth, ">" * 49 + "a") == 51
    assert await page.evaluate(depth, ">" * 500 + "a") == 52
    assert await page.evaluate(depth, "- " * 500 + "a") <= 102
    deep = "*a **b " * 40 + "c** d* " * 40
    assert await page.evaluate(depth, deep) == 52


async def test_a_table_whose_rows_leave_out_too_many_cells_ends(page: Page) -> None:
    wide = "|" + "a|" * 400 + "\n|" + "-|" * 400 + "\n" + "x\n" * 60
    count = "text => rendered([text]).querySelectorAll('td').length"
    assert await page.evaluate(count, wide) < 12_000


async def test_the_source_is_the_text_that_was_added(page: Page) -> None:
    text = "# a\r\n😀\0 `b"
    source = """text => {
      const markdown = new Markdown(document.createElement("div"));
      for (const half of text.split("")) markdown.add(half);
      const source = markdown.text;
      markdown.end();
      return [source, markdown.text];
    }"""
    assert await page.evaluate(source, text) == [text, text]


def test_it_can_be_joined_with_other_modules() -> None:
    assert "return { Markdown };" in scripts.joined(MODULE.parent, MODULE.name)


# While it streams

HREF = {"href": "https://a.b/"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        # Emphasis is shown before its end; its delimiters never are.
        ("a **bo", [["p", {}, "a ", ["strong", {}, "bo"]]]),
        ("a *", [["p", {}, "a "]]),
        ("a **", [["p", {}, "a "]]),
        ("a **bo*", [["p", {}, "a ", ["strong", {}, "bo"]]]),
        ("a **bo**", [["p", {}, "a ", ["strong", {}, "bo"]]]),
        ("***b", [["p", {}, ["em", {}, ["strong", {}, "b"]]]]),
        ("~~b", [["p", {}, ["s", {}, "b"]]]),
        ("2 * 3", [["p", {}, "2 * 3"]]),
        ("2*3", [["p", {}, "2*3"]]),
        ("a `co", [["p", {}, "a ", ["code", {}, "co"]]]),
        ("a `co`", [["p", {}, "a ", ["code", {}, "co"]]]),
        # A link shows its text only.
        ("a [te", [["p", {}, "a ", ["a", {}, "te"]]]),
        ("a [te]", [["p", {}, "a ", ["a", {}, "te"]]]),
        ("a [te](htt", [["p", {}, "a ", ["a", {}, "te"]]]),
        ("a [te](https://a.b)", [["p", {}, "a ", ["a", HREF, "te"]]]),
        ("a [te] b", [["p", {}, "a [te] b"]]),
        ("![al](htt", [["p", {}, ["a", {}, "al"]]]),
        ("<https://a", [["p", {}]]),
        ("a https://a.b", [["p", {}, "a ", ["a", {}, "https://a.b"]]]),
        ("a ht", [["p", {}, "a "]]),
        ("a &am", [["p", {}, "a "]]),
        ("a \\", [["p", {}, "a "]]),
        # The beginning of a line is held back until it is known what it begins.
        ("a\n-", [["p", {}, "a"]]),
        ("a\n--", [["p", {}, "a"]]),
        ("a\n=", [["p", {}, "a"]]),
        ("a\n1", [["p", {}, "a"]]),
        ("a\n12", [["p", {}, "a"]]),
        ("a\n12 b", [["p", {}, "a\n12 b"]]),
        ("a\n``", [["p", {}, "a"]]),
        ("a\n```py", [["p", {}, "a"]]),
        ("a\n#", [["p", {}, "a"]]),
        ("a\n>", [["p", {}, "a"]]),
        ("*", []),
        ("- ", []),
        ("- -", []),
        ("- [", [["ul", {}, ["li", {}]]]),
        ("- [x] ", [["ul", {}, ["li", {}]]]),
        ("- a", [["ul", {}, ["li", {}, "a"]]]),
        ("# a #", [["h1", {}, "a"]]),
        ("a\n---\n", [["h2", {}, "a"]]),
        # Code is code from its first line on; what may be its end is not shown.
        ("```py\n", [["pre", {}, ["code", {"class": "language-py"}]]]),
        ("```\na", [["pre", {}, ["code", {}, "a"]]]),
        ("```\na\n``", [["pre", {}, ["code", {}, "a\n"]]]),
        # A table is shown when its delimiter row is.
        ("| a | b |\n| -", []),
        ("a\n| b", [["p", {}, "a"]]),
        ("| a |\nb", [["p", {}, "| a |\nb"]]),
        ("| a |\n|-|\n", [["table", {}, ["thead", {}, ["tr", {}, ["th", {}, "a"]]]]]),
    ],
)
async def test_a_text_that_has_not_ended_shows_no_markup(
    page: Page, text: str, shown: Tree
) -> None:
    assert await page.evaluate("text => shown(text)", text) == shown


async def test_closed_blocks_keep_their_nodes_and_so_a_selection(page: Page) -> None:
    blocks = [
        "# a *b*\n\n",
        "c **d** `e`\n\n",
        "```\nf\n```\n",
        "> g\n\n",
        "| h |\n|---|\n| i |\n\n",
    ]
    kept = """blocks => {
      const element = document.createElement("div");
      document.body.append(element);
      const markdown = new Markdown(element);
      for (const block of blocks) markdown.add(block);
      markdown.add("x");
      const all = () => {
        const walker = document.createTreeWalker(element);
        const nodes = [];
        while (walker.nextNode()) nodes.push([walker.currentNode, walker.currentNode.nodeValue]);
        return nodes;
      };
      const before = all().slice(0, -2); // without the paragraph that grows
      getSelection().selectAllChildren(element.querySelector("strong"));
      for (const half of "*y*\\n===\\n\\n- a\\n\\n- b\\n\\n    c\\n") markdown.add(half);
      markdown.end();
      const after = all();
      const same = before.every(([node, value], at) =>
        after[at][0] === node && after[at][1] === value);
      const selected = String(getSelection());
      element.remove();
      return [before.length > 20, same, selected];
    }"""
    assert await page.evaluate(kept, blocks) == [True, True, "d"]


async def test_items_keep_their_nodes_when_their_list_becomes_loose(page: Page) -> None:
    loose = """() => {
      const element = document.createElement("div");
      const markdown = new Markdown(element);
      markdown.add("- a\\n- b\\n");
      const [list] = element.children;
      const before = [...list.querySelectorAll("*")];
      const tight = list.className;
      markdown.add("\\n- c");
      const after = [...list.querySelectorAll("*")];
      return [tight, list.className, before.every((node, at) => node === after[at])];
    }"""
    assert await page.evaluate(loose) == ["tight", "", True]


async def test_a_block_has_the_direction_of_its_first_strong_character(page: Page) -> None:
    arabic, hebrew = "\u0645\u0631\u062d\u0628", "\u05e9\u05dc\u05d5\u05dd"
    text = f"1 {arabic}\n\n- **{hebrew}** a\n\na {arabic}\n\n# ---\n\n> {hebrew}\n\n```\n{arabic}\n"
    call = "text => [...rendered([text]).children].map((block) => block.dir)"
    assert await page.evaluate(call, text) == ["rtl", "rtl", "ltr", "", "rtl", "ltr"]


# Code and tables


async def test_code_is_copied_by_mouse_and_by_keyboard(page: Page) -> None:
    await page.evaluate("""() => {
      document.body.replaceChildren(rendered(["```py\\na < b\\n```\\n\\n    c\\n"]));
    }""")
    python = page.get_by_role("button", name="Copy the py code")
    assert await python.inner_text() == "Copy"
    await python.click()
    await page.get_by_role("button", name="Copied the py code").wait_for()
    assert await page.evaluate("navigator.clipboard.readText()") == "a < b\n"
    other = page.get_by_role("button", name="Copy the code")
    await other.focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Copied the code").wait_for()
    assert await page.evaluate("navigator.clipboard.readText()") == "c\n"
    await page.get_by_role("button", name="Copy the py code").wait_for()
    head = page.locator(".code-head")
    assert await head.first.locator("span").inner_text() == "py"


async def test_where_nothing_can_be_copied_no_button_is_shown(page: Page) -> None:
    hidden = """() => {
      Object.defineProperty(navigator, "clipboard", { value: undefined, configurable: true });
      const { hidden } = rendered(["```\\n```"]).querySelector("button");
      delete navigator.clipboard;
      return [hidden, rendered(["```\\n```"]).querySelector("button").hidden];
    }"""
    assert await page.evaluate(hidden) == [True, False]


async def test_what_scrolls_can_be_focused_and_has_a_name(page: Page) -> None:
    await page.evaluate("""() => {
      document.body.replaceChildren(rendered(["```py\\na\\n```\\n\\n|a|\\n|-|\\n\\n    b\\n"]));
    }""")
    for name in ("Code: py", "Table", "Code"):
        region = page.get_by_role("group", name=name, exact=True)
        await region.focus()
        assert await region.evaluate("region => region === document.activeElement")


# Made-up texts

FORBIDDEN = """(texts) => {
  const general = ["class", "dir"];
  const scroll = ["tabindex", "role", "aria-label"];
  const attributes = {
    a: ["href", "title", "target", "rel"], ol: ["start"], div: scroll, pre: scroll,
    button: ["type", "aria-label", "hidden"], input: ["type", "disabled", "checked", "aria-label"],
  };
  const names = ("p h1 h2 h3 h4 h5 h6 em strong s code pre a ul ol li blockquote hr br table thead "
    + "tbody tr th td div span button input").split(" ");
  const isBad = (element, ended) => {
    const allowed = [...general, ...(attributes[element.localName] ?? [])];
    if (!names.includes(element.localName)) return true;
    if (element.getAttributeNames().some((name) => !allowed.includes(name))) return true;
    if (element.localName !== "a") return false;
    if (!element.hasAttribute("href")) return ended;
    if (!["http:", "https:", "mailto:"].includes(element.protocol)) return true;
    return element.target !== "_blank" || element.rel !== "noopener noreferrer";
  };
  return texts.filter((text) => {
    const element = document.createElement("div");
    const markdown = new Markdown(element);
    const any = (ended) => [...element.querySelectorAll("*")].some((each) => isBad(each, ended));
    for (let at = 0; at < text.length; at += 7) {
      markdown.add(text.slice(at, at + 7));
      if (any(false)) return true;
    }
    markdown.end();
    return any(true);
  });
}"""

INLINE = [
    *(
        "a",
        "b ",
        "foo",
        "*",
        "**",
        "***",
        "_",
        "__",
        "~~",
        "~",
        "`",
        "``",
        "[",
        "]",
        "(",
        ")",
        "![",
    ),
    *("](HTTPS://a.b)", "[x](HTTPS://a.b 'c')", '](HTTPS://x.y "t")', "<HTTPS://c.d>", "<q@w.de>"),
    *("\\", "\\*", "&amp;", "&copy;", "&#35;", "&x;", "<", "!", " ", "  ", "\n", "  \n", "\\\n"),
    *("é", '"', "'", ".", "😀", "-"),
]
BLOCK = [
    *("\n", "\n\n", "- ", "* ", "+ ", "1. ", "2) ", "10. ", "> ", ">", "# ", "## ", "#", "-\n"),
    *("---\n", "***\n", "- - -\n", "===\n", "--\n", "```\n", "~~~ js\n", "````\n", "    ", "\t"),
    *("  ", " ", "   ", "| a | b |\n|---|--:|\n", "|---|\n", "|a|\n", "a|b\n-|-\n", "| 1 |\n"),
    *(
        "|",
        "-",
        "=",
        "foo",
        "bar\n",
        "baz\n\n",
        "[ ] ",
        "[x] ",
        "&gt;",
        "\\",
        "*a*",
        "`c|d`",
        "\\|",
    ),
    "1.",
]
BY_DESIGN = re.compile(
    r"\]\(<?>?\s*(?:\)|\"|'|$)"  # an empty destination, which is a link there
    r"|\\ +\n"  # it passes a backslash and a space, and misses the hard break behind them
    r"|>[\s\S]*\n[ >]*(?: {4}|[ >]*\t)|>.*\t"  # deep indents and tabs in quotes
    r"|\n {2,}(?:-+|=+)[ \t]*(?:\n|$)|\n {2,}\|"  # an underline, or a row, behind a lazy line
    r"|`[^`]*\n[ \t]"  # it leaves white space at the beginning of lines in code spans
    r"|\n[ >]*(?: {4}|\t).*\S"  # a lazy line with the indent of code, behind a list item
    r"|!\[[*_~]|!\[.*[&\\]|\[[\s\S]*!\[[\s\S]*\["  # the text of an image is a document of its own
    r"|[^\w\s*_~][*_~]+\]"  # the end of a link's text counts as white space
    r"|(?:[-+*]|\d[.)])[ \t]*\n[ \t>]*\n"  # an empty item, and a blank line
    r"|\\\[|\[[ x]\]\s*\n"  # the trees of the test take these brackets for a task
    r"|\[[ x]\] [\s\S]*\n[ \t]*(?:-+|=+)[ \t]*(?:\n|$)"  # they do not find tasks in headings
    r"|(?:2\)|10\.)[^\n]*\|"  # they take such an item for a table's header
)
HOSTILE = [
    *(
        "<img src=x onerror=alert(1)>",
        "<script>alert(1)</script>",
        "<svg/onload=alert(1)>",
        "<a href",
    ),
    *(
        "javascript:alert(1)",
        "JaVaScRiPt:x",
        "java\tscript:x",
        "&#106;avascript:x",
        "java&Tab;script:",
    ),
    *(
        "data:text/html,<b>",
        "vbscript:x",
        "blob:x",
        "file:///x",
        "//a.b",
        "\\\\a.b",
        "%6aavascript:x",
    ),
    *(
        "](javascript:x)",
        "](<javascript:x>)",
        "](data:x 't')",
        "](&#x6A;avascript:x)",
        "](\x01javascript:x)",
    ),
    *(
        "<javascript:x>",
        "<data:x>",
        "<jAvAsCrIpT://a.b>",
        "https://a.b",
        "http://",
        "https://@:",
        "![",
        "[",
    ),
    *(
        "](https://a.b",
        '](https://a.b "onclick=',
        "](HTTPS:a)",
        "](mailto:a)",
        '" onmouseover="',
        "style=",
    ),
    *(
        '``` x" onclick="y\n',
        "~~~<b>\n",
        "\x00",
        "\x0b",
        "\x7f",
        "\ud83d",
        "\ude00",
        "\u202e",
        "\u200f",
    ),
    *("\u2028", "\ufeff", "\r", "\r\n", "\\", "**" * 60, "> " * 60, "- " * 60, "[" * 60, "`" * 9),
]
COMPARED = (
    st.sampled_from((INLINE, BLOCK, INLINE + BLOCK))
    .flatmap(lambda pool: st.lists(st.sampled_from(pool), min_size=1, max_size=14))
    .map("".join)
    .filter(lambda text: not BY_DESIGN.search(text))
)
ANY = st.lists(st.sampled_from(HOSTILE + INLINE + BLOCK), min_size=1, max_size=12).map("".join)
SOME_TEXTS = st.lists(COMPARED, min_size=20, max_size=50)
SOME_HOSTILE = st.lists(ANY | st.text(max_size=40), min_size=20, max_size=50)


async def check_hostile(page: Page, texts: list[str]) -> None:
    """Only elements, attributes and addresses of the subset; and cuts change nothing."""
    coded = [text.encode("utf-16-be", "surrogatepass").hex() for text in texts]
    decode = """coded => coded.map((hex) => String.fromCharCode(
      ...(hex.match(/.{4}/g) ?? []).map((unit) => parseInt(unit, 16))))"""
    forbidden = f"coded => ({FORBIDDEN})(({decode})(coded))"
    assert await page.evaluate(forbidden, coded) == []
    cuts = f"coded => cuts(({decode})(coded), [1, 2, 3, 5, 8, 13, 21])"
    assert await page.evaluate(cuts, coded) == []


async def check_equal(page: Page, texts: list[str]) -> None:
    assert await differing(page, texts, spaces=True) == []


@settings(BATCHES, max_examples=20)
@given(texts=SOME_HOSTILE)
async def test_a_hostile_text_makes_nothing_but_the_subset(page: Page, texts: list[str]) -> None:
    await check_hostile(page, texts)


@pytest.mark.prove
@settings(BATCHES, max_examples=400)
@given(texts=SOME_HOSTILE)
async def test_10000_hostile_texts_make_nothing_but_the_subset(
    page: Page, texts: list[str]
) -> None:
    await check_hostile(page, texts)


@settings(BATCHES, max_examples=20)
@given(texts=SOME_TEXTS)
async def test_made_up_texts_are_as_markdown_it_py_has_them(page: Page, texts: list[str]) -> None:
    await check_equal(page, texts)


@pytest.mark.prove
@settings(BATCHES, max_examples=400)
@given(texts=SOME_TEXTS)
async def test_10000_made_up_texts_are_as_markdown_it_py_has_them(
    page: Page, texts: list[str]
) -> None:
    await check_equal(page, texts)


# The cost


def long(*lines: str) -> str:
    """100,000 characters of these lines, over and over."""
    text = "".join(lines)
    return (text * (100_000 // len(text) + 1))[:100_000]


PROSE = "The **quick** brown `fox` jumps over [the](https://a.b/c) lazy dog, and *so* on. "
LONG = {
    "an answer": long(
        f"## A heading\n\n{PROSE * 4}\n\n- {PROSE}\n- {PROSE}\n\n```js\nlet a;\n```\n\n"
    ),
    "a code block": "```js\n" + long("const a = 1; // a comment\n"),
    "a paragraph": long(PROSE),
    "a paragraph of lines": long(f"{PROSE}\n"),
    "a word": long("a"),
    "a list": long(f"- {PROSE}\n"),
    "a table": "| a | b |\n|---|---|\n" + long(f"| {PROSE} | {PROSE} |\n"),
}
MARKS = {
    name: long(name)
    for name in (
        *(
            "*",
            "_",
            "~",
            "[",
            "]",
            "`",
            ">",
            "#",
            "|",
            "<",
            "&",
            "\\",
            "!",
            "- ",
            "> ",
            "* ",
            "1. ",
        ),
        *("*a ", "a* ", "**a *b ", "*a_ ", "[a](b ", "![", "[a](<", "`a ", "https://a(", " ", "\n"),
        *("\t", "| a\n", "a|b\n", "> > a\n\n", "<a", "~~a "),
    )
} | {
    "nested brackets": "[" * 50_000 + "]" * 50_000,
    "openers and closers": "*a " * 16_000 + "b* " * 16_000,
    "links behind brackets": "[" * 30_000 + "[a](https://b.c)" * 4_000,
    "closers behind a bracket": "*a " * 10_000 + "[" + "b* " * 20_000 + "]",
    "runs of backticks": "".join("`" * length + "a" for length in range(1, 446)),
    "a code span without an end": "`" + long("*a* "),
    "cells left out": "|" + "a|" * 300 + "\n|" + "-|" * 300 + "\n" + long("x\n"),
}
TIMED = """([text, size]) => {
  const element = document.createElement("div");
  document.body.append(element);
  const markdown = new Markdown(element);
  const begun = performance.now();
  let longest = 0;
  for (let at = 0; at < text.length; at += size) {
    const before = performance.now();
    markdown.add(text.slice(at, at + size));
    longest = Math.max(longest, performance.now() - before);
  }
  markdown.end();
  const all = performance.now() - begun;
  element.remove();
  return [all, longest];
}"""


async def quickest(page: Page, text: str, size: int) -> tuple[float, float]:
    """How long all pieces take, and the longest: the best of three, for others use the machine."""
    times = [await page.evaluate(TIMED, [text, size]) for _ in range(3)]
    return min(all_ for all_, _ in times), min(longest for _, longest in times)


@pytest.mark.alone
@pytest.mark.parametrize("name", LONG)
async def test_100000_characters_are_shown_in_time(page: Page, name: str) -> None:
    whole, _ = await quickest(page, LONG[name], 100_000)
    pieces, longest = await quickest(page, LONG[name], 4)
    assert whole < 200, whole
    assert pieces < 1500, pieces
    assert longest < 16, longest


@pytest.mark.alone
@pytest.mark.parametrize("name", MARKS)
async def test_no_text_is_slow(page: Page, name: str) -> None:
    whole, _ = await quickest(page, MARKS[name], 100_000)
    pieces, _ = await quickest(page, MARKS[name], 4)
    assert max(whole, pieces) < 1500, (whole, pieces)
