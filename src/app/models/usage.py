"""Token counts as providers report them, without those that cannot be true."""

from app.log import logger
from app.models import estimate
from app.models.base import Partial, Request
from app.models.lengths import tokens_left

Counts = tuple[int | None, int | None]


def plausible(counts: Counts, request: Request, delivered: Partial, latest: Partial) -> Counts:
    """The input and output tokens of the attempt that said `latest` behind what was delivered.

    A server that does not count reports zeros, and every request that is sent costs something.
    """
    sent, generated = counts
    if tokens_left(request, delivered) > 0 and not sent and not generated:
        return None, None
    text = Partial(delivered.thinking + latest.thinking, delivered.answer + latest.answer)
    return (
        plausible_count(sent, estimate.input_at_most(request, text)),
        plausible_count(generated, estimate.output_at_most(request, text)),
    )


def plausible_count(reported: int | None, most: int) -> int | None:
    """A token count; None if it cannot be true, as if it had not been reported."""
    if reported is None or 0 <= reported <= most:
        return reported
    logger.warning("the provider reported an impossible token count", extra={"most": most})
    return None
