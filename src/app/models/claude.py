"""What is known of Claude by a model's name."""

import re

# Claude up to 4.5 takes the beginning of its answer as an assistant's turn; from 4.6 on, the API
# refuses that for good. A name that is not known is taken for a newer one: asking always works.
_TAKES_PREFILL = re.compile(
    r"""
    (?:^|[./]) claude-
    (?:
      instant | v?[23] (?=[-.:]|$)
    | (?:opus|sonnet|haiku)-4 (?:-[015])? (?=-\d{8}|[@:]|-latest|-v\d|$)
    )
    """,
    re.VERBOSE,
)


def takes_prefill(model: str) -> bool:
    """Whether the model goes on with an answer that it is given the beginning of.

    `model` is a name of Anthropic's API or of Bedrock, with or without date, region and version.
    """
    return _TAKES_PREFILL.search(model) is not None
