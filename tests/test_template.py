"""template.yaml after SAM's transform, and observability.yaml, its nested stack.

Only the transformed template shows the result of a URL's `AuthType` or of an API event. cfn-lint
knows every property only there: it accepts a misspelt `InvokeMode` of a SAM function.

Tests of an optional part are with the part's other tests, such as tests/app/limits. Here nothing
depends on a part.
"""

import json
import re
import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from app import metrics
from app.settings import Settings
from durable_stream.table import UNDER_SAM_LOCAL
from tests.stack import ROOT, SAM, Stack, deployed_with, graphed, run_with_sam, values_of

# For each function, each door in the words of `sam deploy --guided`, and if it has authentication.
DOORS = """
import json
from samcli.commands.deploy.auth_utils import auth_per_resource
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

stacks, _ = SamLocalStackProvider.get_stacks("template.yaml")
print(json.dumps(auth_per_resource(stacks)))
"""

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:model-key-AbCdEf"
MODEL = "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"

# The parameters of each provider. The template may have fewer providers.
PROVIDERS = {
    "openai": {"Models": "m", "ProviderSecret": SECRET, "OpenAIBaseUrl": "http://m/v1"},
    "anthropic": {"Models": "m", "ProviderSecret": SECRET},
    "bedrock": {"Models": "m", "BedrockModelArns": MODEL},
}
STATEMENTS_OF_PARTS = {"CountAgainstTheLimits", "ReadTheApiTokens"}
ALARMS_OF_PARTS = {"SpendingIsHigh"}
METRICS_OF_PARTS = {"TokensSpent"}
TABLE = {"Fn::GetAtt": ["StreamTable", "Arn"]}

pytestmark = pytest.mark.sam


def choices(stack: Stack) -> list[dict[str, str]]:
    """Every combination of the parameters that decide which resources there are."""
    declared = stack.template["Parameters"]
    providers = [
        {"Provider": provider, **PROVIDERS.get(provider, {})}
        for provider in declared["Provider"]["AllowedValues"]
    ]
    values = {
        "ReservedConcurrency": ["", "0", "50"],
        "AlarmTopicArn": ["", TOPIC],
        "SnapStart": ["off", "on"],
        **{name: declared[name]["AllowedValues"] for name in ("Access",) if name in declared},
    }
    return [
        provider | dict(zip(values, chosen, strict=True))
        for provider in providers
        for chosen in product(*values.values())
    ]


def test_sam_accepts_the_template() -> None:
    run_with_sam(SAM / "sam", "validate", "--lint")


def test_cloudformation_accepts_what_sam_makes_of_it(stack: Stack, tmp_path: Path) -> None:
    """It also accepts the nested template, which `sam validate` does not read."""
    template = tmp_path / "transformed.json"
    template.write_text(json.dumps(stack.template))

    run_with_sam(SAM / "cfn-lint", template, "observability.yaml")


def test_the_nested_stack_gets_every_parameter_that_it_declares(stack: Stack) -> None:
    """SAM does not compare the two files."""
    passed = stack.resources["Observability"]["Properties"]["Parameters"]

    assert passed.keys() == stack.observability.template["Parameters"].keys()


def test_whatever_is_chosen_nothing_refers_to_what_is_not_there(stack: Stack) -> None:
    for chosen in choices(stack):
        deployed = stack.with_parameters(**chosen)

        assert not deployed.dangling()
        assert not deployed.refusals()
        # The nested stack's parameters may refer to resources of the whole stack.
        assert not deployed.observability.dangling() - deployed.resources.keys()


def test_a_guided_deployment_asks_nothing_that_enter_does_not_answer_well() -> None:
    """For every door without authentication it asks for consent, and Enter means no."""
    doors = json.loads(run_with_sam(SAM / "python", "-c", DOORS))
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]["deploy"]

    assert [door for door, has_authentication in doors if not has_authentication] == []
    # If SAM CLI asks for consent to a changeset, Enter means no, too.
    assert settings["parameters"]["confirm_changeset"] is False


# Versions, and SnapStart


def only(stack: Stack, kind: str) -> tuple[str, dict[str, Any]]:
    """The logical id and the properties of the one resource of a type."""
    [found] = stack.properties_of(kind).items()
    return found


def test_snapstart_is_off_until_it_is_chosen_because_a_snapshot_is_paid_for(stack: Stack) -> None:
    assert stack.function["SnapStart"] == {"ApplyOn": "None"}
    assert stack.with_parameters(SnapStart="on").function["SnapStart"] == {
        "ApplyOn": "PublishedVersions"
    }


@pytest.mark.parametrize("chosen", ["off", "on"])
def test_both_front_doors_serve_the_newest_version(stack: Stack, chosen: str) -> None:
    """SnapStart is no part of an unpublished version."""
    deployed = stack.with_parameters(SnapStart=chosen)
    version, _ = only(deployed, "AWS::Lambda::Version")
    alias, properties = only(deployed, "AWS::Lambda::Alias")
    _, url = only(deployed, "AWS::Lambda::Url")
    _, api = only(deployed, "AWS::ApiGateway::RestApi")
    permissions = deployed.properties_of("AWS::Lambda::Permission").values()

    assert properties["FunctionVersion"] == {"Fn::GetAtt": [version, "Version"]}
    assert url["TargetFunctionArn"] == {"Ref": alias}
    assert [each["FunctionName"] for each in permissions] == [{"Ref": alias}] * 4
    for each in values_of(api["Body"]["paths"], "x-amazon-apigateway-integration"):
        assert f"/functions/${{{alias}}}/" in each["uri"]["Fn::Sub"]


def test_a_version_and_its_snapshot_go_with_the_next_one(stack: Stack) -> None:
    name, _ = only(stack, "AWS::Lambda::Version")

    assert stack.template["Resources"][name]["DeletionPolicy"] == "Delete"


@pytest.mark.parametrize(
    "changed",
    [
        {"SnapStart": "on"},
        {"Architecture": "x86_64"},
        {"StreamDays": "7"},
        {"ReservedConcurrency": "0"},
    ],
    ids=str,
)
def test_a_parameter_that_changes_the_function_publishes_a_version(
    unchanged: Stack, changed: dict[str, str]
) -> None:
    """Otherwise the alias would go on with the old one.

    Lambda publishes none without a change to what a version has, and the deployment would fail. A
    reservation is no part of a version.
    """
    stack = deployed_with(**changed)
    unversioned = {"ReservedConcurrentExecutions"}

    def versioned(each: Stack) -> list[tuple[str, Any]]:
        return [item for item in each.function.items() if item[0] not in unversioned]

    assert only(stack, "AWS::Lambda::Version")[0] != only(unchanged, "AWS::Lambda::Version")[0]
    assert versioned(stack) != versioned(unchanged)


def test_a_parameter_that_leaves_the_function_alone_publishes_none(unchanged: Stack) -> None:
    stack = deployed_with(LogRetentionDays="7")

    assert only(stack, "AWS::Lambda::Version") == only(unchanged, "AWS::Lambda::Version")


@pytest.fixture(scope="module")
def unchanged() -> Stack:
    return deployed_with(SnapStart="off")


# The two front doors


def test_the_function_url_streams_to_everybody(stack: Stack) -> None:
    """Since October 2025 a public function URL needs both permissions, or answers 403."""
    [url] = stack.properties_of("AWS::Lambda::Url").values()
    public = {
        permission["Action"]: permission
        for permission in stack.properties_of("AWS::Lambda::Permission").values()
        if permission["Principal"] == "*"
    }

    assert (url["AuthType"], url["InvokeMode"]) == ("NONE", "RESPONSE_STREAM")
    assert public.keys() == {"lambda:InvokeFunctionUrl", "lambda:InvokeFunction"}
    assert public["lambda:InvokeFunctionUrl"]["FunctionUrlAuthType"] == "NONE"
    assert public["lambda:InvokeFunction"]["InvokedViaFunctionUrl"] is True


def test_the_rest_api_streams_every_path_for_as_long_as_the_function_runs(stack: Stack) -> None:
    [api] = stack.properties_of("AWS::ApiGateway::RestApi").values()

    integrations = list(values_of(api["Body"]["paths"], "x-amazon-apigateway-integration"))

    assert api["Body"]["paths"].keys() == {"/", "/{proxy+}"}
    assert [each["responseTransferMode"] for each in integrations] == ["STREAM"] * 2
    assert [each["timeoutInMillis"] for each in integrations] == [900_000] * 2
    assert stack.function["Timeout"] == 900
    for each in integrations:
        assert each["uri"]["Fn::Sub"].endswith("/response-streaming-invocations")


def test_the_rest_api_turns_floods_away_before_they_cost_an_invocation(stack: Stack) -> None:
    [stage] = stack.properties_of("AWS::ApiGateway::Stage").values()
    [settings] = stage["MethodSettings"]

    assert (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
    assert settings["ThrottlingRateLimit"] > 0
    assert settings["ThrottlingBurstLimit"] >= settings["ThrottlingRateLimit"]


# The function


def test_the_function_starts_our_runtime(stack: Stack) -> None:
    wrapper = stack.variables["AWS_LAMBDA_EXEC_WRAPPER"]

    assert (ROOT / "src" / Path(wrapper).relative_to("/var/task")).is_file()
    assert stack.function["Handler"] == "app.main.handler"


def test_every_variable_is_one_that_the_code_reads(stack: Stack) -> None:
    source = "".join(path.read_text() for path in (ROOT / "src/app").rglob("*.py"))
    deployed = [stack.with_parameters(**chosen) for chosen in choices(stack)]
    # NAME_FROM says where the secret NAME is.
    names = {name.removesuffix("_FROM") for each in deployed for name in each.variables}

    unread = {name for name in names if not re.search(rf"\b{name}\b", source)}

    assert unread <= {"AWS_LAMBDA_EXEC_WRAPPER", "POWERTOOLS_SERVICE_NAME"}


def test_sam_local_is_recognised_by_the_name_that_it_gives_the_table(stack: Stack) -> None:
    """SAM CLI takes a resource's logical id for the deployed value of `Ref`."""
    assert stack.variables["TABLE_NAME"] == {"Ref": UNDER_SAM_LOCAL}


def settings_of(stack: Stack) -> Settings:
    """The settings that the code reads from the function's environment."""
    return Settings.from_environ({name: str(value) for name, value in stack.variables.items()})


def test_pages_of_other_sites_may_use_it_only_where_they_are_named(stack: Stack) -> None:
    origins = ("https://app.example.com", "http://localhost:5173")
    opened = stack.with_parameters(AllowedOrigins=",".join(origins))

    assert settings_of(stack).allowed_origins == ()
    assert settings_of(opened).allowed_origins == origins


def test_events_are_padded_where_it_is_chosen(stack: Stack) -> None:
    padded = stack.with_parameters(EventPaddingBytes="2048")

    assert settings_of(stack).event_source.padding_bytes == 0
    assert settings_of(padded).event_source.padding_bytes == 2048


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("AllowedOrigins", ["", "https://a.example"], ["*", "https://a.example/", "a.example"]),
        ("ReservedConcurrency", ["", "0", "50"], ["00", "-1", "05"]),
        ("AlarmTopicArn", ["", TOPIC], ["alarms", f"{TOPIC} "]),
        ("ProviderSecret", ["", SECRET], ["sk-1234"]),
    ],
)
def test_a_parameter_that_cannot_work_is_refused(
    stack: Stack, name: str, good: list[str], bad: list[str]
) -> None:
    pattern = stack.template["Parameters"][name]["AllowedPattern"]

    assert all(re.fullmatch(pattern, value) for value in good)
    assert not [value for value in bad if re.fullmatch(pattern, value)]


@pytest.mark.parametrize(("chosen", "reserved"), [({}, None), ({"ReservedConcurrency": "0"}, "0")])
def test_concurrency_is_reserved_where_it_is_chosen_and_none_stops_the_function(
    stack: Stack, chosen: dict[str, str], reserved: str | None
) -> None:
    function = stack.with_parameters(**chosen).function

    assert function.get("ReservedConcurrentExecutions") == reserved


# Permission to create streams


def test_no_secret_is_shown_or_asked_for(stack: Stack) -> None:
    """CloudFormation keeps parameters; even those of type NoEcho can be read.

    A dynamic reference is replaced by the secret's value, wherever it stands.
    """
    assert not [name for name in stack.template["Parameters"] if "Key" in name]
    assert "{{resolve:" not in json.dumps(stack.template)


# Permissions of the function


def test_it_may_append_to_read_and_delete_from_its_table(stack: Stack) -> None:
    log = stack.statements["AppendReadAndRemoveStreams"]

    assert log["Resource"] == TABLE
    assert set(log["Action"]) == {
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
    }


def test_it_may_do_nothing_else_but_log_and_trace(stack: Stack) -> None:
    assert stack.statements.keys() - STATEMENTS_OF_PARTS == {
        "AppendReadAndRemoveStreams",
        "Log",
        "Trace",
    }
    assert stack.statements["Log"]["Resource"] == {"Fn::GetAtt": ["StreamLogs", "Arn"]}
    assert {each["Effect"] for each in stack.statements.values()} == {"Allow"}


def test_only_traces_go_to_every_resource_as_they_have_none(stack: Stack) -> None:
    """X-Ray's actions cannot be granted on anything narrower. SAM's own managed policies can."""
    statements = [
        statement
        for statements in values_of(stack.template, "Statement")
        for statement in statements
    ]
    everywhere = [each for each in statements if each.get("Resource") == "*"]

    assert [set(each["Action"]) for each in everywhere] == [
        {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
    ]
    assert not list(values_of(stack.template, "ManagedPolicyArns"))
    assert stack.function["TracingConfig"] == {"Mode": "Active"}


def test_the_demo_may_not_read_a_secret_that_it_does_not_need(stack: Stack) -> None:
    deployed = stack.with_parameters(Provider="demo", ProviderSecret=SECRET)

    assert deployed.statements.keys() == stack.statements.keys()
    assert not [name for name in deployed.variables if "KEY" in name]


# The data that is kept, and for how long


def test_the_table_is_a_log_per_stream_that_expires(stack: Stack) -> None:
    [table] = stack.properties_of("AWS::DynamoDB::Table").values()
    types = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
    keys = [(each["AttributeName"], each["KeyType"]) for each in table["KeySchema"]]

    assert types == {"stream_id": "S", "seq": "N"}
    assert keys == [("stream_id", "HASH"), ("seq", "RANGE")]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["SSESpecification"] == {"SSEEnabled": True}


@pytest.mark.parametrize(
    ("chosen", "backed_up", "policy"),
    [
        ({}, "true", "Retain"),
        ({"PointInTimeRecovery": "false", "TableDeletionPolicy": "Delete"}, "false", "Delete"),
    ],
)
def test_the_table_is_backed_up_and_outlives_the_stack_unless_chosen_otherwise(
    stack: Stack, chosen: dict[str, str], backed_up: str, policy: str
) -> None:
    table = stack.with_parameters(**chosen).resources["StreamTable"]

    recovery = table["Properties"]["PointInTimeRecoverySpecification"]
    assert recovery == {"PointInTimeRecoveryEnabled": backed_up}
    assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == policy


def test_logs_do_not_stay_for_ever(stack: Stack) -> None:
    groups = stack.properties_of("AWS::Logs::LogGroup")
    group = groups[stack.function["LoggingConfig"]["LogGroup"]["Ref"]]

    assert group["RetentionInDays"] == stack.parameters["LogRetentionDays"] > 0


# Alarms and dashboard


@pytest.mark.parametrize(("topic", "actions"), [("", None), (TOPIC, [TOPIC])])
def test_alarms_are_sent_where_there_is_a_topic_for_them(
    stack: Stack, topic: str, actions: list[str] | None
) -> None:
    alarms = stack.with_parameters(AlarmTopicArn=topic, ReservedConcurrency="50").alarms

    assert alarms.keys() - ALARMS_OF_PARTS == {
        "FunctionFails",
        "FunctionIsThrottled",
        "ConcurrencyRunsOut",
        "FirstTokenIsSlow",
        "WritersDie",
        "AnswersFail",
    }
    assert all(each.get("AlarmActions") == actions for each in alarms.values())
    assert all(each.get("OKActions") == actions for each in alarms.values())


def test_nothing_to_measure_is_no_alarm(stack: Stack) -> None:
    """Metrics are written when streams end: at night there are none."""
    assert {each["TreatMissingData"] for each in stack.alarms.values()} == {"notBreaching"}


@pytest.mark.parametrize("reserved", ["", "0"])
def test_concurrency_runs_out_only_where_some_is_reserved(stack: Stack, reserved: str) -> None:
    stopped = stack.with_parameters(ReservedConcurrency=reserved)
    running = stack.with_parameters(ReservedConcurrency="50")

    assert "ConcurrencyRunsOut" not in stopped.alarms
    expressions = list(values_of(running.alarms["ConcurrencyRunsOut"], "Expression"))
    assert expressions == ["100 * running / 50"]


def watched(stack: Stack, namespace: str) -> list[dict[str, Any]]:
    """The metrics of a namespace that alarms watch, by themselves or in an expression."""
    alarms = stack.with_parameters(ReservedConcurrency="50").alarms
    watching = [*alarms.values(), *values_of(alarms, "Metric")]
    return [each for each in watching if each.get("Namespace") == namespace]


def test_alarms_watch_what_the_code_counts_for_this_stack(stack: Stack) -> None:
    service = {"Name": "service", "Value": stack.variables["POWERTOOLS_SERVICE_NAME"]}
    own = watched(stack, metrics.NAMESPACE)
    names = {each["MetricName"] for each in own}

    assert names - METRICS_OF_PARTS == {"TimeToFirstToken", "Takeovers", "Errors"}
    assert names <= metrics.UNITS.keys()
    assert all(each["Dimensions"] == [service] for each in own)


def test_alarms_watch_this_function(stack: Stack) -> None:
    function = {"Name": "FunctionName", "Value": {"Ref": "StreamFunction"}}
    of_lambda = watched(stack, "AWS/Lambda")
    names = {each["MetricName"] for each in of_lambda}

    assert names == {"Errors", "Throttles", "ConcurrentExecutions"}
    assert all(each["Dimensions"] == [function] for each in of_lambda)


def dashboard(stack: Stack) -> tuple[str, dict[str, Any]]:
    """The dashboard's body, and the values of its own that it refers to."""
    [properties] = stack.observability.properties_of("AWS::CloudWatch::Dashboard").values()
    body, own = properties["DashboardBody"]["Fn::Sub"]
    return body, own


def test_the_dashboard_shows_all_that_the_code_counts(stack: Stack) -> None:
    body, _ = dashboard(stack)

    shown = {name for namespace, name in graphed(body) if namespace == metrics.NAMESPACE}

    assert shown == metrics.UNITS.keys()
    assert f'"service", "{stack.variables["POWERTOOLS_SERVICE_NAME"]}"' in body
    assert '"FunctionName", "${StreamFunction}"' in body


def test_the_dashboard_shows_every_alarm_that_always_exists(stack: Stack) -> None:
    body, own = dashboard(stack)
    separator, references = own["Alarms"]["Fn::Join"]

    arns = separator.join(".".join(each["Fn::GetAtt"]) for each in references)
    [shown] = values_of(json.loads(body.replace("${Alarms}", arns)), "alarms")

    assert set(shown) == {f"{name}.Arn" for name in stack.alarms}


def test_the_stack_names_its_dashboard(stack: Stack) -> None:
    [name] = stack.observability.properties_of("AWS::CloudWatch::Dashboard")

    assert stack.outputs["DashboardName"]["Value"] == {
        "Fn::GetAtt": ["Observability", "Outputs.DashboardName"]
    }
    assert stack.observability.outputs["DashboardName"]["Value"] == {"Ref": name}


def test_there_is_a_page_on_what_to_do_at_each_alarm(stack: Stack) -> None:
    page = (ROOT / "docs/operations.md").read_text()
    alarms = stack.with_parameters(ReservedConcurrency="50").alarms

    assert {row[1] for row in re.finditer(r"^\| `(\w+)`", page, re.MULTILINE)} == alarms.keys()
