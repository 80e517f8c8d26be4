"""What a stream's attempts have cost, as far as the log and its last writer know."""

from app.event_log.records import Done
from app.generation.outcome import Outcome
from app.generation.transcript import Transcript
from app.limits.estimate import Spending


def spending(before: Transcript, outcome: Outcome | None) -> Spending:
    """What a stream that has ended has cost.

    `outcome` is of the generation that ended it, `before` the stream up to that; or all of it, if
    it was ended by somebody who generated nothing.
    """
    said = before.partial.thinking, before.partial.answer
    earlier = sum(len(text.encode()) for text in said)
    if outcome is None:
        return Spending(attempts=before.attempts, earlier=earlier, latest=0)
    if outcome.claims:
        # The last attempt's share of the text is not known: all of it counts as earlier.
        earlier += outcome.text_bytes
    return Spending(
        attempts=outcome.attempt + outcome.claims,
        earlier=earlier,
        latest=0 if outcome.claims else outcome.text_bytes,
        reported=_reported(outcome),
    )


def _reported(outcome: Outcome) -> int | None:
    end = outcome.end
    if not isinstance(end, Done) or end.input_tokens is None or end.output_tokens is None:
        return None
    return end.input_tokens + end.output_tokens
