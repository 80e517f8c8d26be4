"""Tools: what a model is told of a function, and what becomes of its arguments."""

import datetime as dt
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from app.models.tools import Tool, tool

pytestmark = pytest.mark.anyio


class Unit(Enum):
    """A unit of temperature."""

    C = "celsius"
    F = "fahrenheit"


class Place(BaseModel):
    """A place. `title` is a member, not the title of a schema."""

    title: str
    longitude: float = 0


class Tree(BaseModel):
    trees: list["Tree"]


@dataclass
class Weather:
    on: dt.date
    degrees: float


@tool
def weather(
    city: str,
    days: Annotated[int, Field(ge=1, description="how many days")] = 1,
    unit: Unit = Unit.C,
    near: Place | None = None,
) -> list[Weather]:
    """The weather of the coming days.

    Days count from today.
    """
    assert isinstance(unit, Unit)
    assert near is None or isinstance(near, Place)
    assert city
    return [Weather(dt.date(2026, 1, 1), float(day)) for day in range(days)]


@tool
async def shout(text: str) -> str:
    """Say it louder."""
    return text.upper()


# The model is told


def test_a_model_is_told_the_name_the_docstring_and_the_types() -> None:
    assert weather.spec.name == "weather"
    assert weather.spec.description == ("The weather of the coming days.\n\nDays count from today.")
    assert weather.spec.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "minimum": 1, "default": 1, "description": "how many days"},
            "unit": {
                "type": "string",
                "enum": ["celsius", "fahrenheit"],
                "description": "A unit of temperature.",
                "default": "celsius",
            },
            "near": {
                "anyOf": [
                    {
                        "type": "object",
                        "description": Place.__doc__,
                        "properties": {
                            "title": {"type": "string"},
                            "longitude": {"type": "number", "default": 0},
                        },
                        "required": ["title"],
                    },
                    {"type": "null"},
                ],
                "default": None,
            },
        },
        "required": ["city"],
    }


def test_a_tool_without_parameters_takes_an_empty_object() -> None:
    def now() -> str:
        """The time."""
        return "late"

    assert tool(now).spec.parameters == {"type": "object", "properties": {}}


def test_a_parameter_may_have_any_name_that_python_allows() -> None:
    """Also those that pydantic's models keep for themselves."""

    def odd(model_config: int, copy: str, _private: bool, json: str = "j") -> list[Any]:  # noqa: FBT001
        """Take odd names."""
        return [model_config, copy, _private, json]

    made = tool(odd)

    assert [*made.spec.parameters["properties"]] == ["model_config", "copy", "_private", "json"]
    assert made.runs({"model_config": 1, "copy": "c", "_private": True}) == [1, "c", True, "j"]


def test_a_schema_refers_to_nothing() -> None:
    """Not every model follows a reference."""

    def go(places: list[Place], last: Place) -> None:
        """Go there."""

    assert "$" not in json.dumps(tool(go).spec.parameters)


def test_a_tool_is_the_tool_of_itself() -> None:
    assert tool(weather) is weather


def test_a_tool_is_still_a_function() -> None:
    assert weather("Paris", days=2)[1] == Weather(dt.date(2026, 1, 1), 1.0)


# Arguments and results


async def test_arguments_are_validated_and_the_result_is_json() -> None:
    arguments = {"city": "Paris", "days": "2", "unit": "fahrenheit", "near": {"title": "here"}}

    assert weather.problem(arguments) == ""
    assert weather.runs(arguments) == [
        {"on": "2026-01-01", "degrees": 0.0},
        {"on": "2026-01-01", "degrees": 1.0},
    ]
    assert await shout.runs({"text": "hi"}) == "HI"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "city: Field required"),
        ({"city": 7}, "city: Input should be a valid string"),
        ({"city": "Paris", "days": 0}, "days: Input should be greater than or equal to 1"),
        ({"city": "Paris", "town": "x"}, "town: Extra inputs are not permitted"),
        ({"city": "Paris", "near": {}}, "near.title: Field required"),
    ],
)
def test_a_model_is_told_what_is_wrong_with_its_arguments(
    arguments: dict[str, Any], told: str
) -> None:
    problem = weather.problem(arguments)

    assert told in problem
    assert "Call it again" in problem


@pytest.mark.parametrize("result", [object(), {"a": object()}, lambda: 1])
def test_a_result_that_is_not_json_says_what_to_return(result: object) -> None:
    def broken() -> Any:
        """Break."""
        return result

    with pytest.raises(
        TypeError, match=r"the tool broken returned a .*, which is not JSON: return"
    ):
        tool(broken).runs({})


def test_a_result_has_a_form_in_json_and_in_utf_8() -> None:
    def odd() -> Any:
        """Return odd things."""
        return {"number": float("nan"), "text": "\ud83d", "pair": "\ud83d\ude80"}

    assert tool(odd).runs({}) == {"number": None, "text": "\ufffd", "pair": "🚀"}


# Functions that are no tools


def undescribed(city: str) -> str:
    return city


def untyped(city, days: int) -> str:  # type: ignore[no-untyped-def] # noqa: ANN001
    """The weather."""
    return f"{city}{days}"


def many(*cities: str) -> str:
    """The weather."""
    return str(cities)


def named(**cities: str) -> str:
    """The weather."""
    return str(cities)


def positional(city: str, /) -> str:
    """The weather."""
    return city


def opaque(where: Callable[[], None]) -> str:
    """The weather."""
    return str(where)


def foreign(where: Tool) -> str:
    """The weather."""
    return str(where)


def deep(tree: Tree) -> str:
    """Climb it."""
    return str(tree)


def unresolved(place: "Nowhere") -> str:  # type: ignore[name-defined] # noqa: F821
    """The weather."""
    return str(place)


def yields() -> Iterator[str]:
    """The weather."""
    yield "rain"


async def yields_slowly() -> AsyncIterator[str]:
    """The weather."""
    yield "rain"


def größe(  # noqa: PLC2401 - that is the point
    of: Literal["S", "L"],
) -> str:
    """The size."""
    return of


@pytest.mark.parametrize(
    ("function", "to_do"),
    [
        (undescribed, "the tool undescribed has no docstring: say in one"),
        (untyped, "the parameter city of the tool untyped has no type: annotate it"),
        (many, "the parameter cities of the tool many cannot be given by name"),
        (named, "the parameter cities of the tool named cannot be given by name"),
        (positional, "the parameter city of the tool positional cannot be given by name"),
        (opaque, "a parameter of the tool opaque has a type that JSON cannot describe"),
        (foreign, "a parameter of the tool foreign has a type that JSON cannot describe"),
        (deep, "a parameter of the tool deep has a type that contains itself"),
        (unresolved, "an annotation of the tool unresolved cannot be resolved"),
        (yields, "the tool yields yields: return one value"),
        (yields_slowly, "the tool yields_slowly yields: return one value"),
        (größe, "'größe' cannot be the name of a tool"),
        (lambda: 1, "'<lambda>' cannot be the name of a tool"),
        (partial(undescribed, "x"), "the tool partial has no docstring"),
    ],
)
def test_a_function_that_is_no_tool_is_refused_with_what_to_change(
    function: Callable[..., Any], to_do: str
) -> None:
    with pytest.raises(ValueError, match=to_do):
        tool(function)
