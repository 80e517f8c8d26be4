"""Values: JSON of tools and data, in a form that the parsers of clients take.

`NaN` and the infinities are no JSON: one of them makes a client give up the whole stream. So does a
member `__proto__`, or a member `constructor` with a member `prototype`, in a client of the AI SDK
(@ai-sdk/provider-utils, src/secure-json-parse.ts).
"""

import math
from typing import Any

from app.wires.frames import compact


def plain(value: Any) -> Any:
    """The value; one that a parser refuses becomes a string of its JSON."""
    if not isinstance(value, (dict, list, tuple, float)) or not _refused(value):
        return value
    return compact(value)


def _refused(value: Any) -> bool:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            made_by = each.get("constructor")
            if "__proto__" in each or (isinstance(made_by, dict) and "prototype" in made_by):
                return True
            waiting += each.values()
        elif isinstance(each, (list, tuple)):
            waiting += each
        elif isinstance(each, float) and not math.isfinite(each):
            return True
    return False
