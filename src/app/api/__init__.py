"""The HTTP interface: routes, their inputs, and the form of records on the wire."""

import fastapi.utils


def _is_of_old_pydantic(annotation: object) -> bool:
    del annotation
    return False


# FastAPI asks this of every parameter, for the sake of an error message, and imports the whole old
# version of pydantic for it: a twentieth of a cold start. No parameter here has such a type.
fastapi.utils.annotation_is_pydantic_v1 = _is_of_old_pydantic  # type: ignore[attr-defined]
