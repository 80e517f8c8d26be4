"""The stack that `sam deploy` makes of template.yaml, looked at after SAM has transformed it.

Only the transformed template shows what a URL's `AuthType` or an API event turns into, and only
there does cfn-lint know every property: it lets a misspelt `InvokeMode` of a SAM function pass.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SAM = ROOT / ".venv-sam/bin"

# SAM's translator wants an older pydantic than the application: it runs in SAM's environment.
# The service knows the ARNs of managed policies, and `sam deploy` has uploaded the code.
TRANSFORM = """
import json, sys
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

class ManagedPolicies:
    def load(self):
        name = "AWSLambdaBasicExecutionRole"
        return {name: f"arn:aws:iam::aws:policy/service-role/{name}"}

template = yaml_parse(sys.stdin.read())
template["Resources"]["StreamFunction"]["Properties"]["CodeUri"] = "s3://bucket/key"
print(json.dumps(transform(template, {}, ManagedPolicies())))
"""

Resource = dict[str, Any]

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:model-key-AbCdEf"
PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0"
MODEL = "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0"

_NOTHING = object()

pytestmark = pytest.mark.sam


def run(*command: str | Path, text: str = "") -> str:
    environ = {**os.environ, "AWS_DEFAULT_REGION": "eu-west-1", "SAM_CLI_TELEMETRY": "0"}
    done = subprocess.run(
        command, check=False, cwd=ROOT, env=environ, input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def transformed() -> str:
    return run(SAM / "python", "-c", TRANSFORM, text=(ROOT / "template.yaml").read_text())


class Stack:
    """The transformed template as CloudFormation would deploy it with these parameters."""

    def __init__(self, template: dict[str, Any], parameters: dict[str, Any]) -> None:
        self.template = template
        self._parameters = parameters

    def with_parameters(self, **parameters: Any) -> "Stack":
        defaults = {name: each["Default"] for name, each in self.template["Parameters"].items()}
        assert parameters.keys() <= defaults.keys()
        return Stack(self.template, {**defaults, **parameters, "AWS::NoValue": _NOTHING})

    def statements(self) -> list[Any]:
        """What the function's role allows."""
        [role] = properties_of(self.template["Resources"], "AWS::IAM::Role")
        [policy] = role["Policies"]
        statements: list[Any] = self._resolved(policy["PolicyDocument"]["Statement"])
        return statements

    def others(self) -> list[Any]:
        """What it allows besides the table."""
        return [each for each in self.statements() if each["Sid"] != "AppendAndReadStreams"]

    def variables(self) -> dict[str, Any]:
        function = self.template["Resources"]["StreamFunction"]["Properties"]
        variables: dict[str, Any] = self._resolved(function["Environment"]["Variables"])
        return variables

    def refusals(self) -> list[str]:
        """What the rules say against the parameters."""
        return [
            assertion["AssertDescription"]
            for rule in self.template["Rules"].values()
            if self._holds(rule["RuleCondition"])
            for assertion in rule["Assertions"]
            if not self._holds(assertion["Assert"])
        ]

    def _resolved(self, node: Any) -> Any:
        match node:
            case {"Fn::If": [condition, then, otherwise]}:
                return self._resolved(then if self._holds({"Condition": condition}) else otherwise)
            case {"Fn::Split": [separator, text]}:
                return self._resolved(text).split(separator)
            case {"Ref": name} if name in self._parameters:
                return self._parameters[name]
            case dict():
                members = {name: self._resolved(value) for name, value in node.items()}
                return {name: value for name, value in members.items() if value is not _NOTHING}
            case list():
                items = [self._resolved(each) for each in node]
                return [each for each in items if each is not _NOTHING]
            case _:
                return node

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


@pytest.fixture(scope="session")
def stack(transformed: str) -> Stack:
    return Stack(json.loads(transformed), {})


@pytest.fixture(scope="session")
def resources(transformed: str) -> dict[str, Resource]:
    loaded: dict[str, Resource] = json.loads(transformed)["Resources"]
    return loaded


def properties_of(resources: dict[str, Resource], kind: str) -> list[dict[str, Any]]:
    return [each["Properties"] for each in resources.values() if each["Type"] == kind]


def values_of(node: object, key: str) -> Iterator[Any]:
    """What stands under `key` anywhere below a node."""
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == key)
        for value in node.values():
            yield from values_of(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from values_of(value, key)


def test_sam_accepts_the_template() -> None:
    run(SAM / "sam", "validate", "--lint")


def test_cloudformation_accepts_what_sam_makes_of_it(transformed: str, tmp_path: Path) -> None:
    template = tmp_path / "transformed.json"
    template.write_text(transformed)

    run(SAM / "cfn-lint", "--template", template)


def test_the_function_url_streams_to_everybody(resources: dict[str, Resource]) -> None:
    """Since October 2025 a public function URL needs both permissions, or answers 403."""
    url = resources["StreamFunctionUrl"]["Properties"]
    public = {
        permission["Action"]: permission
        for permission in properties_of(resources, "AWS::Lambda::Permission")
        if permission["Principal"] == "*"
    }

    assert (url["AuthType"], url["InvokeMode"]) == ("NONE", "RESPONSE_STREAM")
    assert public.keys() == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    assert public["lambda:InvokeFunctionUrl"]["FunctionUrlAuthType"] == "NONE"
    assert public["lambda:InvokeFunction"]["InvokedViaFunctionUrl"] is True


def test_the_rest_api_streams_every_path_for_as_long_as_the_function_runs(
    resources: dict[str, Resource],
) -> None:
    timeout = resources["StreamFunction"]["Properties"]["Timeout"]
    paths = resources["StreamApi"]["Properties"]["Body"]["paths"]

    integrations = list(values_of(paths, "x-amazon-apigateway-integration"))

    assert paths.keys() == {"/", "/{proxy+}"}
    assert [each["responseTransferMode"] for each in integrations] == ["STREAM", "STREAM"]
    assert [each["timeoutInMillis"] for each in integrations] == [timeout * 1000, timeout * 1000]


def test_the_function_starts_our_runtime(resources: dict[str, Resource]) -> None:
    function = resources["StreamFunction"]["Properties"]
    wrapper = function["Environment"]["Variables"]["AWS_LAMBDA_EXEC_WRAPPER"]

    assert (ROOT / "src" / Path(wrapper).relative_to("/var/task")).is_file()
    assert function["Handler"] == "app.main.handler"


def test_the_function_may_append_to_and_read_its_table_and_nothing_else(stack: Stack) -> None:
    [statement] = stack.with_parameters().statements()

    assert statement["Effect"] == "Allow"
    assert statement["Resource"] == {"Fn::GetAtt": ["StreamTable", "Arn"]}
    assert set(statement["Action"]) == {
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
    }


def test_with_bedrock_it_may_also_ask_the_models_that_are_named(stack: Stack) -> None:
    deployed = stack.with_parameters(
        Provider="bedrock", Models="eu.amazon.nova-lite-v1:0", BedrockModelArns=f"{PROFILE},{MODEL}"
    )

    [_, statement] = deployed.statements()

    assert statement["Effect"] == "Allow"
    assert statement["Action"] == "bedrock:InvokeModelWithResponseStream"
    assert statement["Resource"] == [PROFILE, MODEL]
    assert deployed.variables()["MODELS"] == "eu.amazon.nova-lite-v1:0"


@pytest.mark.parametrize(
    ("provider", "variable"),
    [("anthropic", "ANTHROPIC_API_KEY_FROM"), ("openai", "OPENAI_API_KEY_FROM")],
)
def test_with_a_key_it_may_also_read_that_secret_and_is_told_only_where_it_is(
    stack: Stack, provider: str, variable: str
) -> None:
    deployed = stack.with_parameters(Provider=provider, Models="m", ProviderSecret=SECRET)

    [_, statement] = deployed.statements()

    assert statement["Effect"] == "Allow"
    assert statement["Action"] == "secretsmanager:GetSecretValue"
    assert statement["Resource"] == SECRET
    keys = {name: value for name, value in deployed.variables().items() if "KEY" in name}
    assert keys == {variable: {"Fn::Sub": "secretsmanager:${ProviderSecret}"}}


@pytest.mark.parametrize("provider", ["demo", "bedrock"])
def test_a_secret_that_the_provider_does_not_need_may_not_be_read(
    stack: Stack, provider: str
) -> None:
    deployed = stack.with_parameters(Provider=provider, ProviderSecret=SECRET)

    assert "secretsmanager:GetSecretValue" not in {each["Action"] for each in deployed.others()}
    assert not [name for name in deployed.variables() if "KEY" in name]


def test_a_server_of_ones_own_needs_no_key(stack: Stack) -> None:
    url = "https://models.example.com/v1"
    deployed = stack.with_parameters(
        Provider="openai", Models="m", OpenAIBaseUrl=url, OpenAIPrefill="true"
    )

    assert deployed.variables()["OPENAI_BASE_URL"] == url
    assert deployed.variables()["OPENAI_PREFILL"] == "true"
    assert not deployed.refusals()
    assert not deployed.others()


@pytest.mark.parametrize(
    ("parameters", "missing"),
    [
        ({"Provider": "demo"}, []),
        ({"Provider": "openai"}, ["Models", "ProviderSecret"]),
        ({"Provider": "openai", "Models": "m", "ProviderSecret": SECRET}, []),
        ({"Provider": "anthropic", "Models": "m"}, ["ProviderSecret"]),
        ({"Provider": "bedrock", "Models": "m"}, ["BedrockModelArns"]),
        ({"Provider": "bedrock", "Models": "m", "BedrockModelArns": MODEL}, []),
    ],
)
def test_a_deployment_that_lacks_a_setting_is_refused_before_anything_is_made(
    stack: Stack, parameters: dict[str, Any], missing: list[str]
) -> None:
    refusals = stack.with_parameters(**parameters).refusals()

    assert [refusal.partition(" ")[0] for refusal in refusals] == missing


def test_no_parameter_asks_for_a_key(stack: Stack) -> None:
    """CloudFormation keeps parameters, and shows those of no-echo type to who knows how."""
    assert not [name for name in stack.template["Parameters"] if "Key" in name]


def test_no_policy_names_every_resource(resources: dict[str, Resource]) -> None:
    assert "*" not in list(values_of(resources, "Resource"))


def test_the_table_is_a_log_per_stream_that_expires(resources: dict[str, Resource]) -> None:
    table = resources["StreamTable"]["Properties"]
    types = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
    keys = [(each["AttributeName"], each["KeyType"]) for each in table["KeySchema"]]

    assert types == {"stream_id": "S", "seq": "N"}
    assert keys == [("stream_id", "HASH"), ("seq", "RANGE")]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["SSESpecification"] == {"SSEEnabled": True}


def test_logs_do_not_stay_for_ever(resources: dict[str, Resource]) -> None:
    function = resources["StreamFunction"]["Properties"]
    group = resources[function["LoggingConfig"]["LogGroup"]["Ref"]]["Properties"]

    assert "RetentionInDays" in group
