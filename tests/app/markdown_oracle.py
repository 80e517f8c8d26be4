"""The trees that markdown-it-py makes of Markdown, to compare those of markdown.js with."""

import re
from html.parser import HTMLParser
from typing import Any

from markdown_it import MarkdownIt, rules_block
from markdown_it.rules_block import StateBlock

# A tree is a list: texts, and elements as [name, {attribute: value}, *children].
Tree = list[Any]


class _MarkdownIt(MarkdownIt):
    def validateLink(self, url: str) -> bool:  # noqa: N802
        return bool(re.match(r"(https?|mailto):", url, re.IGNORECASE))


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:  # noqa: FBT001
    """markdown-it-py's rule, except that a line which begins another block is no header."""
    others = (rules_block.blockquote, rules_block.heading, rules_block.hr, rules_block.list_block)
    asked = (state, start, end, True)
    if any(rule(*asked) for rule in (*others, rules_block.fence)):
        return False
    return rules_block.table(state, start, end, silent)


def _markdown_it() -> MarkdownIt:
    """The subset: links as ours, no references, no bound of nesting that a text here reaches."""
    made = _MarkdownIt("commonmark", {"html": False, "maxNesting": 400})
    made.enable(["table", "strikethrough"]).disable("reference")
    made.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
    return made


_ORACLE = _markdown_it()


def expected(text: str) -> Tree:
    """The tree of a text. Where it ends without a line ending, it gets one, as CommonMark says."""
    reader = _Reader()
    reader.feed(_ORACLE.render(text if text.endswith("\n") else f"{text}\n"))
    reader.close()
    return _with_tasks(_tidy(reader.root, ""))


_VOID = {"br", "hr", "img"}
_LEAVES = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "hr", "td", "th"}
_CONTAINERS = {"ul", "ol", "li", "blockquote", "table", "thead", "tbody", "tr"}


class _Reader(HTMLParser):
    """Reads HTML into a tree."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root: Tree = []
        self._open: list[Tree] = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if style := given.pop("style", ""):
            given["class"] = style.removeprefix("text-align:")
        element: Tree = [tag, given]
        self._open[-1].append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self._open[-1].append(data)


def _tidy(children: Tree, parent: str, *, in_link: bool = False) -> Tree:
    """Leaves out line endings that are only HTML's. An image is a link; no link is in a link."""
    out: Tree = []
    for index, child in enumerate(children):
        if isinstance(child, str):
            before, after = (
                _name(each) for each in (children[index - 1 : index], children[index + 1 :])
            )
            _append(out, _text(child, parent, before, after))
            continue
        name, attributes, *inside = child
        if name == "img":
            name, inside = "a", [attributes.pop("alt")]
            attributes["href"] = attributes.pop("src")
        if name == "a" and in_link:
            for each in _tidy(inside, name, in_link=True):
                _append(out, each)
        else:
            out.append([name, attributes, *_tidy(inside, name, in_link=in_link or name == "a")])
    return out


def _name(nodes: Tree) -> str:
    """The name of the first node, if it is an element."""
    return nodes[0][0] if nodes and isinstance(nodes[0], list) else ""


def _text(text: str, parent: str, before: str, after: str) -> str:
    blocks = _LEAVES | _CONTAINERS
    if parent in _CONTAINERS - {"li"} or (not parent and text == "\n"):
        return ""
    if before in blocks or before == "br":
        text = text.removeprefix("\n")
    if after in blocks:
        text = text.removesuffix("\n")
    return text


def _append(out: Tree, child: Any) -> None:
    if isinstance(child, str) and out and isinstance(out[-1], str):
        out[-1] += child
    elif child:
        out.append(child)


def _with_tasks(tree: Tree) -> Tree:
    """The tree with the boxes of task lists, which markdown-it-py does not know."""
    for child in tree:
        if not isinstance(child, list):
            continue
        _with_tasks(child)
        if child[0] == "li":
            holder = child[2] if _name(child[2:3]) == "p" else child
            _mark(holder)
    return tree


def _mark(holder: Tree) -> None:
    text = holder[2] if len(holder) > 2 else None
    if isinstance(text, str) and (match := re.match(r"\[([ xX])\][ \t]+", text)):
        box = ["input", {"checked": match[1] != " "}]
        holder[2:3] = [box, " " + text[match.end() :]]
