"""The table that template.yaml describes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from local.exceptions import CannotStart

TABLE = "StreamTable"


@dataclass(frozen=True)
class Table:
    """A DynamoDB table as CloudFormation describes it."""

    name: str
    key_schema: list[dict[str, str]]
    attributes: list[dict[str, str]]
    ttl_attribute: str | None


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short intrinsics (!Ref, !GetAtt …) as plain values."""


def _intrinsic(loader: _Loader, _: str, node: yaml.Node) -> object:
    match node:
        case yaml.ScalarNode():
            return loader.construct_scalar(node)
        case yaml.SequenceNode():
            return loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            return loader.construct_mapping(node, deep=True)
        case _:
            return None


_Loader.add_multi_constructor("!", _intrinsic)


def read_table(template: Path) -> Table:
    """Read the resource `StreamTable`; its logical id serves as the table's name.

    Raises:
        CannotStart: there is no such file, or no such table in it.
    """
    try:
        with template.open() as file:
            # The loader is a SafeLoader.
            resources = yaml.load(file, _Loader)["Resources"]  # noqa: S506
        properties: dict[str, Any] = resources[TABLE]["Properties"]
        return Table(
            name=TABLE,
            key_schema=properties["KeySchema"],
            attributes=properties["AttributeDefinitions"],
            ttl_attribute=properties.get("TimeToLiveSpecification", {}).get("AttributeName"),
        )
    except (OSError, KeyError, TypeError, yaml.YAMLError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise CannotStart(f"{template} does not describe the table {TABLE} ({reason})") from error
