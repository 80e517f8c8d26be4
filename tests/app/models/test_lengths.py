"""The estimated length of an answer, where only its text is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models.base import Message, Partial, Request
from app.models.lengths import estimated, tokens_left

# Texts, and their tokens: the larger count of OpenAI's cl100k_base and Claude 2's.
COUNTED = [
    ("Each record in the log has a number, and none of them can be lost or repeated.", 19),
    ("def claim(self, tail: Tail) -> Generation | None:\n    return await self._history()\n", 22),
    ("Der Schreiber hält die Reihenfolge ein, weil jede Überprüfung nur einmal gelingt.", 28),
    ("L'été dernier, j'ai décidé d'apprendre à faire du pain moi-même.", 25),
    ("Jokaisella lokin tietueella on numero, eikä mikään niistä voi kadota.", 31),
    ("Każdy wpis w dzienniku ma numer i żaden z nich nie może zostać utracony.", 30),
    ("Mỗi bản ghi trong nhật ký đều có một số và không bản ghi nào có thể bị mất.", 56),
    ("Каждая запись в журнале имеет номер, и ни одна не может быть потеряна.", 35),
    ("Κάθε εγγραφή στο ημερολόγιο έχει έναν αριθμό και καμία δεν μπορεί να χαθεί.", 80),  # noqa: RUF001 - it is Greek
    ("日志中的每条记录都有一个编号,都不会丢失或重复。", 22),
    ("ログの各レコードには番号があり、失われることはありません。", 26),
    ("로그의 각 레코드에는 번호가 있으며 손실되지 않습니다.", 32),
    ("लॉग में प्रत्येक रिकॉर्ड का एक नंबर होता है।", 48),
    ("كل سجل في السجل له رقم ولا يمكن فقدان أي منها أو تكراره.", 51),
    ("🚀🎉😀👩\u200d💻🇩🇪✨🔥💡", 28),
    ("∀x∈ℝ: ∫₀^∞ e^{−x²}dx = √π/2 ≤ ¾ ⇒ α→β", 36),  # noqa: RUF001 - it is mathematics
    ("| a | b |\n|---|---|\n| 1 | 2 |\n", 17),
    ("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", 44),
    ("IBrV3XE0nGzvK7Qd9wYt2LcMh5PqRs8uAfJx", 32),
]


@pytest.mark.parametrize(("text", "tokens"), COUNTED)
def test_a_text_is_estimated_as_no_shorter_than_it_is_and_at_most_twice_as_long(
    text: str, tokens: int
) -> None:
    assert tokens <= estimated(text) <= 2 * tokens


@given(st.text(max_size=60))
def test_any_text_has_an_estimate_and_only_spaces_have_none(text: str) -> None:
    assert (estimated(text) == 0) == (text in {"", " "})


def test_the_tokens_left_are_those_that_were_not_delivered() -> None:
    request = Request(messages=(Message("user", "hi"),), model="m", max_tokens=100)
    said = Partial("Hm.", "Hello, world")

    assert tokens_left(request, Partial()) == 100
    assert tokens_left(request, said) == 100 - estimated("Hm.") - estimated("Hello, world")
    assert tokens_left(request, Partial("Hm.", "Hello, world", tokens=5)) == 95
