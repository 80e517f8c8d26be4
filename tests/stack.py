"""The stack that `sam deploy` makes of template.yaml, with the parameters one chooses."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

Resource = dict[str, Any]

# What CloudFormation knows without being told.
PSEUDO_PARAMETERS = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::StackName": "chat",
    "AWS::URLSuffix": "amazonaws.com",
}

_NOTHING = object()
_REFERENCE = re.compile(r"\$\{([^}]+)\}")


class Stack:
    """A transformed template as CloudFormation deploys it with these parameters.

    A reference to another resource stays what it is: only a deployment has a value for it.
    """

    def __init__(self, template: dict[str, Any], **parameters: str) -> None:
        defaults = {name: each["Default"] for name, each in template["Parameters"].items()}
        assert parameters.keys() <= defaults.keys()
        self.template = template
        self.parameters = defaults | parameters
        self._values = {**self.parameters, **PSEUDO_PARAMETERS, "AWS::NoValue": _NOTHING}

    def with_parameters(self, **parameters: str) -> "Stack":
        return Stack(self.template, **parameters)

    @property
    def resources(self) -> dict[str, Resource]:
        """The resources that these parameters ask for."""
        return self._existing("Resources")

    @property
    def outputs(self) -> dict[str, Any]:
        return self._existing("Outputs")

    def properties_of(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of all resources of a type, by logical id."""
        return {
            name: resource["Properties"]
            for name, resource in self.resources.items()
            if resource["Type"] == kind
        }

    @property
    def function(self) -> dict[str, Any]:
        """The properties of the one function."""
        [function] = self.properties_of("AWS::Lambda::Function").values()
        return function

    @property
    def variables(self) -> dict[str, Any]:
        """The function's environment."""
        variables: dict[str, Any] = self.function["Environment"]["Variables"]
        return variables

    @property
    def statements(self) -> dict[str, dict[str, Any]]:
        """What the function's role allows, by statement id."""
        [role] = self.properties_of("AWS::IAM::Role").values()
        [policy] = role["Policies"]
        return {each["Sid"]: each for each in policy["PolicyDocument"]["Statement"]}

    def refusals(self) -> list[str]:
        """What the rules say against the parameters."""
        return [
            assertion["AssertDescription"]
            for rule in self.template["Rules"].values()
            if self._holds(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self._holds(assertion["Assert"])
        ]

    def dangling(self) -> set[str]:
        """References to what does not exist with these parameters."""
        named = set(_referred_to([self.resources, self.outputs]))
        return named - self.resources.keys() - PSEUDO_PARAMETERS.keys()

    def _existing(self, section: str) -> dict[str, Any]:
        return {
            name: self._resolved(each)
            for name, each in self.template[section].items()
            if "Condition" not in each or self._holds({"Condition": each["Condition"]})
        }

    def _resolved(self, node: Any) -> Any:
        match node:
            case {"Ref": name}:
                return self._values.get(name, node)
            case {"Fn::If": [condition, then, otherwise]}:
                return self._resolved(then if self._holds({"Condition": condition}) else otherwise)
            case {"Fn::Split": [separator, text]}:
                return self._resolved(text).split(separator)
            case {"Fn::Sub": str(text)}:
                return self._substituted(text)
            case _:
                return self._with_members_resolved(node)

    def _with_members_resolved(self, node: Any) -> Any:
        match node:
            case dict():
                return _without_nothing((name, self._resolved(each)) for name, each in node.items())
            case list():
                return list(_without_nothing(enumerate(map(self._resolved, node))).values())
            case _:
                return node

    def _substituted(self, text: str) -> str | dict[str, str]:
        whole = _REFERENCE.sub(lambda found: str(self._values.get(found[1], found[0])), text)
        return {"Fn::Sub": whole} if _REFERENCE.search(whole) else whole

    def _holds(self, condition: Any) -> bool:
        match condition:
            case {"Condition": name}:
                return self._holds(self.template["Conditions"][name])
            case {"Fn::Not": [other]}:
                return not self._holds(other)
            case {"Fn::And": others}:
                return all(map(self._holds, others))
            case {"Fn::Or": others}:
                return any(map(self._holds, others))
            case {"Fn::Equals": [left, right]}:
                return bool(self._resolved(left) == self._resolved(right))
            case _:
                raise NotImplementedError(condition)


def values_of(node: object, key: str) -> Iterator[Any]:
    """What stands under `key` anywhere below a node."""
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == key)
        for value in node.values():
            yield from values_of(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from values_of(value, key)


def graphed(dashboard: str) -> set[tuple[str, str]]:
    """The metrics that a dashboard's body graphs, as namespace and name.

    In a metric, "." stands for what the one above has there, and "..." for all of its beginning.
    """
    found = set()
    for widget in json.loads(dashboard)["widgets"]:
        above: list[Any] = []
        for metric in widget["properties"].get("metrics", []):
            if isinstance(metric[0], dict):
                continue
            if metric[0] != "...":
                above = [
                    above[at] if each == "." else each
                    for at, each in enumerate(metric)
                    if isinstance(each, str)
                ]
            found.add((above[0], above[1]))
    return found


def _without_nothing(items: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    return {key: value for key, value in items if value is not _NOTHING}


def _referred_to(node: object) -> Iterator[str]:
    yield from values_of(node, "Ref")
    for reference in values_of(node, "Fn::GetAtt"):
        yield reference.partition(".")[0] if isinstance(reference, str) else reference[0]
    for text in values_of(node, "Fn::Sub"):
        # With values of its own it is a list; the values are references as all others are.
        names, own = (text, {}) if isinstance(text, str) else text
        for name in _REFERENCE.findall(names):
            if name not in own:
                yield name.partition(".")[0]
