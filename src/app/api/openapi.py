"""The OpenAPI document, which depends on who is let in."""

from typing import Any

from fastapi import FastAPI

from app.access.gate import Mode

# A route names every status that it may answer with. An open gate refuses no token, and one that
# asks for tokens does not ask which site a page is of.
_NEVER_ANSWERED = {"open": "401", "tokens": "403"}


class DescribedApp(FastAPI):
    """FastAPI, described as it is behind its gate."""

    def __init__(self, mode: Mode, **options: Any) -> None:
        super().__init__(**options)
        self._mode = mode

    def openapi(self) -> dict[str, Any]:
        """The document, made once: what needs no token asks for none."""
        is_made = self.openapi_schema is not None
        document = super().openapi()
        if not is_made:
            self._suit(document)
        return document

    def _suit(self, document: dict[str, Any]) -> None:
        for operations in document["paths"].values():
            for operation in operations.values():
                for parameter in operation.get("parameters", ()):
                    parameter["schema"] = _without_null(parameter["schema"])
                operation["responses"].pop(_NEVER_ANSWERED[self._mode], None)
                if self._mode == "open":
                    operation.pop("security", None)
        if self._mode == "open":
            document["components"].pop("securitySchemes", None)


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter: one that may be left out is still never sent as null."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    kind: dict[str, Any] = kinds[0]
    return kind | {name: member for name, member in schema.items() if name != "anyOf"}
