import re

import pytest

from local.log import BufferedLog, named, terminal


def test_every_line_of_a_record_has_the_name() -> None:
    lines: list[str] = []
    named(lines.append, "sandbox-1")("[ERROR] first\r  second\nthird")
    named(lines.append, "sandbox-1")("")
    assert lines == [
        "sandbox-1 | [ERROR] first",
        "sandbox-1 |   second",
        "sandbox-1 | third",
        "sandbox-1 | ",
    ]


def test_colours_are_for_terminals_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal("sandbox-1 | a | b")
    assert capsys.readouterr().out == "sandbox-1 | a | b\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    terminal("sandbox-1 | a | b")
    assert re.fullmatch("\x1b\\[\\d+msandbox-1 \\|\x1b\\[0m a \\| b\n", capsys.readouterr().out)


def test_a_buffered_log_keeps_its_lines_in_order() -> None:
    lines: list[str] = []
    log = BufferedLog(lines.append)
    log("first")
    log("second")
    assert lines == []
    log.release()
    log("third")
    assert lines == ["first", "second", "third"]
