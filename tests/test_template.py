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


def test_the_function_may_append_to_and_read_its_table_and_nothing_else(
    resources: dict[str, Resource],
) -> None:
    [role] = properties_of(resources, "AWS::IAM::Role")
    [policy] = role["Policies"]
    [statement] = policy["PolicyDocument"]["Statement"]

    assert statement["Effect"] == "Allow"
    assert statement["Resource"] == {"Fn::GetAtt": ["StreamTable", "Arn"]}
    assert set(statement["Action"]) == {
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
    }


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
