"""Modules that are joined into one script."""

from pathlib import Path

import pytest

from app.api.scripts import joined
from tests.chromium import chromium

WEB = Path(__file__).parents[2] / "src/app/web"


def write(folder: Path, **modules: str) -> Path:
    for name, text in modules.items():
        (folder / f"{name}.js").write_text(text)
    return folder


@pytest.mark.anyio
@pytest.mark.chromium
async def test_a_script_does_as_its_modules_do(tmp_path: Path) -> None:
    """Names of one module are no names of another. A module runs once, behind its imports."""
    write(
        tmp_path,
        entry=(
            'import { add } from "./add.js";\n'
            'import {\n  log,\n  Log,\n} from "./log.js";\n'
            'const own = "entry";\n'
            "add(own);\n"
            "window.said = [...log, new Log().name, `a text\n of export`];\n"
        ),
        add=(
            'import { log } from "./log.js";\n'
            'const own = "add";\n'
            "log.push(own);\n"
            "/** `export` of a comment */\n"
            "export async function add(text) {\n  log.push(`${own} ${text}`);\n}\n"
        ),
        log=(
            'const own = "log";\n'
            "export const log = [own];\n"
            "export class Log {\n  name = own;\n}\n"
            "// the end"
        ),
    )
    script = joined(tmp_path, "entry.js")
    async with chromium() as browser:
        page = await browser.new_page()
        await page.add_script_tag(content=script, type="module")
        await page.wait_for_function("window.said")  # The tag does not wait for its module.
        said = await page.evaluate("said")
    assert said == ["log", "add", "add entry", "log", "a text\n of export"]


def test_the_page_loads_no_other_script() -> None:
    script = joined(WEB, "page.js")
    code = [line for line in script.splitlines() if not line.lstrip().startswith(("*", "/"))]
    assert not [line for line in code if line.startswith(("import", "export"))]


@pytest.mark.parametrize(
    "line",
    [
        'import log from "./log.js";',
        'import * as log from "./log.js";',
        'import { log as other } from "./log.js";',
        'import "./log.js";',
        'import { log } from "/log.js";',
        'import { log } from "./log.js"',
        'import { log } from "./log.js" with { type: "json" };',
        'const other = await import("./log.js");',
        "const here = import.meta.url;",
        "await log;",
        "export default log;",
        "export { log };",
        'export * from "./log.js";',
        "export let count = 0;",
        "export const { a, b } = log;",
        "export function* all() {}",
        "  export const indented = 1;",
    ],
)
def test_a_form_that_is_not_known_is_named(tmp_path: Path, line: str) -> None:
    write(tmp_path, entry=f"{line}\n", log="export const log = [];\n")
    with pytest.raises(
        ValueError, match=r"entry\.js has a form that cannot be joined: \S"
    ) as error:
        joined(tmp_path, "entry.js")
    assert str(error.value).partition("joined: ")[2] in line


def test_an_import_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    write(tmp_path, entry='import { log } from "./log.js";\n')
    with pytest.raises(ValueError, match=r"entry\.js imports log\.js, which does not exist"):
        joined(tmp_path, "entry.js")
    write(tmp_path, log="const log = [];\n")
    with pytest.raises(ValueError, match=r"entry\.js imports log, which log\.js does not export"):
        joined(tmp_path, "entry.js")


def test_modules_that_import_each_other_are_named(tmp_path: Path) -> None:
    write(
        tmp_path,
        entry='import { a } from "./a.js";\n',
        a='import { b } from "./b.js";\nexport const a = 1;\n',
        b='import { a } from "./a.js";\nexport const b = 1;\n',
    )
    with pytest.raises(ValueError, match=r"entry\.js > a\.js > b\.js > a\.js"):
        joined(tmp_path, "entry.js")
