"""Tools: typed Python functions with a docstring, which a model may call.

    @tool
    async def weather(city: str, days: int = 1) -> list[str]:
        "The weather of the coming days."

The model reads the name, the docstring and the types. `Annotated[int, Field(description=…)]` tells
it more about a parameter, as everywhere in pydantic.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from app.models.turns import NAME, ToolSpec, whole_text

_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
# Each is told by another member, or is of no use to a model.
_LEFT_OUT = frozenset({"title", "discriminator", "$defs"})
# Amazon's models take no others in the outermost schema.
_AT_THE_TOP = frozenset({"type", "properties", "required"})
# Members of a schema whose values are schemas by a name of the author's.
_BY_NAME = frozenset({"properties", "patternProperties", "dependentSchemas"})
# Members whose values are values.
_VALUES = frozenset({"default", "const", "enum", "examples", "required"})


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """A function that a model may call; make one with `tool`.

    It can still be called as the function that it is made of.
    """

    spec: ToolSpec
    function: Callable[..., Any] = field(repr=False)
    _arguments: type[BaseModel] = field(repr=False)

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Self:
        """The tool of a function; raises ValueError with what to change about the function."""
        name = getattr(function, "__name__", type(function).__name__)
        described = inspect.getdoc(function) if hasattr(function, "__name__") else None
        if not NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot be the name of a tool: write a function with `def`, and give it "
                "a name of at most 64 letters (a to z), digits and underscores"
            )
        if not described:
            raise ValueError(
                f"the tool {name} has no docstring: say in one what it does, for the model reads it"
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ValueError(f"the tool {name} yields: return one value instead")
        arguments = _arguments_of(name, function)
        return cls(ToolSpec(name, described, _schema(name, arguments)), function, arguments)

    @property
    def name(self) -> str:
        """The function's name."""
        return self.spec.name

    @property
    def runs(self) -> Callable[[Mapping[str, Any]], Any]:
        """The function of the arguments in one mapping, whose result is JSON; async if it is.

        A sync one may block: call it in a thread.
        """
        return self._run_async if inspect.iscoroutinefunction(self.function) else self._run

    def problem(self, arguments: Mapping[str, Any]) -> str:
        """The problem with a model's arguments, in words for the model; "" if there is none."""
        try:
            self._arguments.model_validate(arguments)
        except ValidationError as error:
            told = error.errors(include_url=False, include_context=False, include_input=False)
            problems = "; ".join(f"{_place(each['loc'])}: {each['msg']}" for each in told)
            return (
                f"The arguments of {self.name} do not fit its schema: {problems}. "
                "Call it again with arguments that do."
            )
        return ""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def _run(self, arguments: Mapping[str, Any]) -> Any:
        return self._json(self.function(**self._validated(arguments)))

    async def _run_async(self, arguments: Mapping[str, Any]) -> Any:
        result: Awaitable[Any] = self.function(**self._validated(arguments))
        return self._json(await result)

    def _validated(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        values = self._arguments.model_validate(arguments)
        fields = self._arguments.model_fields
        return {str(each.alias): getattr(values, name) for name, each in fields.items()}

    def _json(self, result: Any) -> Any:
        try:
            return whole_text(to_jsonable_python(result, inf_nan_mode="null"))
        except PydanticSerializationError:
            # Without its cause, which quotes the result.
            raise TypeError(
                f"the tool {self.name} returned a {type(result).__name__}, which is not JSON: "
                "return text, numbers, lists, dicts, dataclasses or pydantic models"
            ) from None


def tool(function: Callable[..., Any]) -> Tool:
    """The tool of a function, also as a decorator; raises ValueError with what to change.

    This takes about a millisecond, which a decorator takes once, when the module is imported.
    """
    return function if isinstance(function, Tool) else Tool.of(function)


def _arguments_of(name: str, function: Callable[..., Any]) -> type[BaseModel]:
    """A model of the arguments. Its fields have neutral names, so that any parameter's will do."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise ValueError(
            f"an annotation of the tool {name} cannot be resolved ({error}): import its type in "
            "the module of the tool, not only for type checking"
        ) from error
    fields: dict[str, Any] = {}
    for number, each in enumerate(inspect.signature(function).parameters.values()):
        if each.kind not in _KINDS:
            raise ValueError(
                f"the parameter {each.name} of the tool {name} cannot be given by name: a tool has "
                "no *args, no **kwargs, and no positional-only parameters"
            )
        if each.name not in hints:
            raise ValueError(
                f"the parameter {each.name} of the tool {name} has no type: annotate it, as in "
                f"`{each.name}: str`"
            )
        default = ... if each.default is each.empty else each.default
        fields[f"parameter_{number}"] = (hints[each.name], Field(default, alias=each.name))
    try:
        return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except PydanticUserError as error:
        raise _indescribable(name) from error


def _schema(name: str, arguments: type[BaseModel]) -> dict[str, Any]:
    try:
        schema = arguments.model_json_schema()
    except PydanticUserError as error:
        raise _indescribable(name) from error
    plain = _plain(name, schema, schema.get("$defs", {}), ())
    return {key: value for key, value in plain.items() if key in _AT_THE_TOP}


def _plain(
    name: str, schema: Mapping[str, Any], definitions: Mapping[str, Any], inside: tuple[str, ...]
) -> dict[str, Any]:
    """The schema with each definition in the place of its references: not all models follow one."""
    reference = schema.get("$ref")
    if reference is not None:
        if reference in inside:
            raise ValueError(
                f"a parameter of the tool {name} has a type that contains itself: not all models "
                "understand that, so give it a plain type such as dict or str"
            )
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        meant = {**definitions[reference.removeprefix("#/$defs/")], **beside}
        return _plain(name, meant, definitions, (*inside, reference))

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return _plain(name, value, definitions, inside)
        return [plain(each) for each in value] if isinstance(value, list) else value

    return {
        key: value
        if key in _VALUES
        else {each: plain(of) for each, of in value.items()}
        if key in _BY_NAME
        else plain(value)
        for key, value in schema.items()
        if key not in _LEFT_OUT
    }


def _indescribable(name: str) -> ValueError:
    return ValueError(
        f"a parameter of the tool {name} has a type that JSON cannot describe: use str, int, "
        "float, bool, list, dict, Literal, dataclasses or pydantic models"
    )


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) or "arguments"
