"""How answers, samples and imports are read."""

from proof.bench.imports import Import, noted
from proof.bench.runtime_api import Answer
from proof.bench.samples import Sample


def test_the_content_of_an_answer_has_no_prelude_and_no_chunk_sizes() -> None:
    prelude = b'{"statusCode":200}' + bytes(8)
    chunks = [prelude, b"one\r\n", b"two"]
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"

    assert Answer([(0.0, body[:20]), (1.0, body[20:])]).content == b"one\r\ntwo"


def test_a_percentile_is_the_value_below_which_so_many_hundredths_lie() -> None:
    assert Sample(range(101)).percentile(99) == 99


def test_imports_are_noted_with_their_own_time_and_that_of_all_they_import() -> None:
    output = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:      1500 |       1500 |     inner\n"
        "a line of the log\n"
        "import time:       500 |       2000 |   outer\n"
    )

    assert noted(output) == {"inner": Import(1.5, 1.5), "outer": Import(0.5, 2.0)}
