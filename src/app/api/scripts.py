"""Scripts: the modules of a page, joined into one file.

A browser asks for each module of a page by a request of its own, and on Lambda each of those may
start a sandbox. Here every module becomes a function, which runs once, behind the modules that it
imports from; its exports are what the function returns.

This is no JavaScript parser. It knows two forms, at the beginning of a line, and refuses all other
lines that begin with these words, even in a text:

    import { name, other } from "./module.js";
    export const name = …        (or `function`, `async function`, `class`)
"""

import re
from pathlib import Path

_IMPORT = re.compile(r'^import \{([^{}]*)\} from "\./([\w-]+\.js)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|(?:async )?function|class) ([\w$]+)\b)", re.MULTILINE)
# A function has no `await` of its own either.
_OTHER = re.compile(r"^(?:[ \t]*(?:import|export)|await)\b.*", re.MULTILINE)
# `import()` names a file, and `import.meta` is that of the whole script.
_ANYWHERE = re.compile(r"import\s*[(.].*")
_COMMENT = re.compile(r"/\*.*?\*/|^[ \t]*//[^\n]*", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"[A-Za-z_$][\w$]*")


def joined(folder: Path, entry: str) -> str:
    """The module `entry` and all that it imports, directly or not, as one module.

    Raises ValueError for a form that it does not know, for an import of a name that is not
    exported, and for modules that import each other.
    """
    return "\n".join(_Join(folder).through(entry, ()))


class _Join:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._exports: dict[str, list[str]] = {}

    def through(self, file: str, importers: tuple[str, ...]) -> list[str]:
        """The functions of this module and of those behind it that have none yet."""
        if file in importers:
            raise ValueError(f"{file} imports itself: {' > '.join([*importers, file])}")
        if file in self._exports:
            return []
        path = self._folder / file
        if not path.is_file():
            raise ValueError(f"{importers[-1]} imports {file}, which does not exist")
        text = path.read_text()
        before = [
            function
            for imported in _IMPORT.finditer(text)
            for function in self.through(imported[2], (*importers, file))
        ]
        return [*before, self._function(file, text)]

    def _function(self, file: str, text: str) -> str:
        exports = [found[1] for found in _EXPORT.finditer(text)]
        body = _IMPORT.sub(lambda found: self._imported(file, found), _EXPORT.sub("", text))
        code = _COMMENT.sub("", body)
        if unknown := _OTHER.search(code) or _ANYWHERE.search(code):
            raise ValueError(f"{file} has a form that cannot be joined: {unknown[0].strip()}")
        self._exports[file] = exports
        returned = f"return {{ {', '.join(exports)} }};"
        return f"const {_variable(file)} = (() => {{\n{body}\n{returned}\n}})();\n"

    def _imported(self, file: str, found: re.Match[str]) -> str:
        names = [name.strip() for name in found[1].split(",") if name.strip()]
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{file} has a form that cannot be joined: {{ {name} }}")
            if name not in self._exports[found[2]]:
                raise ValueError(f"{file} imports {name}, which {found[2]} does not export")
        return f"const {{ {', '.join(names)} }} = {_variable(found[2])};"


def _variable(file: str) -> str:
    """The constant that holds a module's exports, by a name that no module uses itself."""
    return "$" + file.removesuffix(".js").replace("-", "$")
