"""Makes fields of dataclasses options of a command line."""

import argparse
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, TypeVar

T = TypeVar("T", str, int, float, bool)

_METAVARS = {str: "TEXT", int: "N", float: "X"}


def option(default: T, text: str, *choices: T) -> T:
    """Return a dataclass field with a default and a help text."""
    metadata = {"help": text.replace("%", "%%"), "choices": choices or None}
    value: T = field(default=default, metadata=metadata)
    return value


def add_options(parser: argparse.ArgumentParser, of: type[Any], title: str) -> None:
    """Add an option for every field, in a group of their own; an option not given is None."""
    group = parser.add_argument_group(title)
    for each in fields(of):
        flag = "--" + each.name.replace("_", "-")
        text = f"{each.metadata['help']} (default: {each.default})"
        if isinstance(each.default, bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=text)
        else:
            choices = each.metadata["choices"]
            name = None if choices else _METAVARS[type(each.default)]
            group.add_argument(
                flag, type=type(each.default), choices=choices, metavar=name, help=text
            )


def given(arguments: argparse.Namespace, of: type[Any]) -> Mapping[str, Any]:
    """Return the fields of a dataclass that the command line sets."""
    values = {each.name: getattr(arguments, each.name) for each in fields(of)}
    return {name: value for name, value in values.items() if value is not None}
