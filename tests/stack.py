"""An interpreter of transformed templates: the stack that CloudFormation makes with parameters."""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SAM = ROOT / ".venv-sam/bin"

# SAM's translator needs an older pydantic than the application, so it runs in SAM's environment.
# `sam deploy` uploads the code and the nested template before the transform. With parameters the
# template goes through AWS::LanguageExtensions first, as it does on AWS.
_TRANSFORM = """
import json
import sys
from samcli.lib.cfn_language_extensions import process_template_for_sam_cli
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

class ManagedPolicies:
    def load(self):
        return {}

def read(name):
    with open(name) as file:
        return yaml_parse(file)

template = read("template.yaml")
resources = template["Resources"]
resources["StreamFunction"]["Properties"]["CodeUri"] = "s3://bucket/key"
resources["Observability"]["Properties"]["TemplateURL"] = "https://bucket.s3.amazonaws.com/key"
nested = {"Observability": read("observability.yaml")}
if sys.argv[1:]:
    template = process_template_for_sam_cli(template, json.loads(sys.argv[1]))
print(json.dumps([transform(template, {}, ManagedPolicies()), nested]))
"""

Resource = dict[str, Any]

# The values that CloudFormation knows without being told.
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

    A reference to another resource stays a reference: only a deployment has a value for it.
    """

    def __init__(
        self, template: dict[str, Any], nested: Mapping[str, Any] | None = None, **parameters: Any
    ) -> None:
        declared = template["Parameters"]
        defaults = {name: each["Default"] for name, each in declared.items() if "Default" in each}
        assert parameters.keys() <= declared.keys()
        self.template = template
        self._nested = nested or {}
        self.parameters = defaults | parameters
        assert self.parameters.keys() == declared.keys()
        self._values = {**self.parameters, **PSEUDO_PARAMETERS, "AWS::NoValue": _NOTHING}

    def with_parameters(self, **parameters: str) -> "Stack":
        return Stack(self.template, self._nested, **parameters)

    @property
    def observability(self) -> "Stack":
        """The nested stack of alarms and dashboard, with the parameters that this one passes."""
        passed = self.resources["Observability"]["Properties"]["Parameters"]
        return Stack(self._nested["Observability"], **passed)

    @property
    def alarms(self) -> dict[str, dict[str, Any]]:
        """The properties of the alarms, by logical id."""
        return self.observability.properties_of("AWS::CloudWatch::Alarm")

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
        """The permissions of the function's role, by statement id."""
        [role] = self.properties_of("AWS::IAM::Role").values()
        [policy] = role["Policies"]
        return {each["Sid"]: each for each in policy["PolicyDocument"]["Statement"]}

    def refusals(self) -> list[str]:
        """The descriptions of the rules that the parameters break."""
        return [
            assertion["AssertDescription"]
            for rule in self.template["Rules"].values()
            if self._holds(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self._holds(assertion["Assert"])
        ]

    def dangling(self) -> set[str]:
        """References to names that do not exist with these parameters."""
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
            case {"Fn::Sub": [text, own]}:
                return self._with_own_values(text, self._resolved(own))
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
        whole = _REFERENCE.sub(lambda found: self._text_of(found[1]), text)
        return {"Fn::Sub": whole} if _REFERENCE.search(whole) else whole

    def _with_own_values(self, text: str, own: dict[str, Any]) -> dict[str, Any]:
        whole = _REFERENCE.sub(
            lambda found: found[0] if found[1] in own else self._text_of(found[1]), text
        )
        return {"Fn::Sub": [whole, own]}

    def _text_of(self, name: str) -> str:
        """The text that replaces `${name}`; it may be a reference to a resource again."""
        match self._values.get(name):
            case None:
                return f"${{{name}}}"
            case {"Ref": resource}:
                return f"${{{resource}}}"
            case value:
                return str(value)

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


def run_with_sam(*command: str | Path) -> str:
    """The output of a program of SAM's environment."""
    environ = {**os.environ, "AWS_DEFAULT_REGION": "eu-west-1", "SAM_CLI_TELEMETRY": "0"}
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def transformed() -> Stack:
    """The project's own stack with the default parameters, as SAM transforms it."""
    template, nested = json.loads(run_with_sam(SAM / "python", "-c", _TRANSFORM))
    return Stack(template, nested)


def deployed_with(**parameters: str) -> Stack:
    """The stack as both transforms make it of these parameters, whose values SAM then sees."""
    values = json.dumps(parameters)
    template, nested = json.loads(run_with_sam(SAM / "python", "-c", _TRANSFORM, values))
    return Stack(template, nested, **parameters)


def values_of(node: object, key: str) -> Iterator[Any]:
    """The values under `key` anywhere below a node."""
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == key)
        for value in node.values():
            yield from values_of(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from values_of(value, key)


def graphed(dashboard: str) -> set[tuple[str, str]]:
    """The metrics that a dashboard's body graphs, as namespace and name.

    In a metric, "." stands for the value that the one above has there, and "..." for all of its
    beginning.
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
