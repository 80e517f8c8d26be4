"""The stack that `sam deploy` makes of template.yaml, looked at after SAM has transformed it.

Only the transformed template shows what a URL's `AuthType` or an API event turns into, and only
there does cfn-lint know every property: it lets a misspelt `InvokeMode` of a SAM function pass.
"""

import json
import os
import re
import subprocess
import tomllib
from itertools import product
from pathlib import Path

import pytest

from app import metrics
from app.access.api_tokens import ApiTokens
from app.limits.settings import Limits
from app.settings import Settings
from durable_stream.table import UNDER_SAM_LOCAL
from tests.stack import Stack, graphed, values_of

ROOT = Path(__file__).parents[1]
SAM = ROOT / ".venv-sam/bin"

# SAM's translator wants an older pydantic than the application: it runs in SAM's environment.
# `sam deploy` has uploaded the code by then.
TRANSFORM = """
import json, sys
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

class ManagedPolicies:
    def load(self):
        return {}

template = yaml_parse(sys.stdin.read())
template["Resources"]["StreamFunction"]["Properties"]["CodeUri"] = "s3://bucket/key"
print(json.dumps(transform(template, {}, ManagedPolicies())))
"""

# For each function, each door in the words of `sam deploy --guided`, and if it has authentication.
DOORS = """
import json
from samcli.commands.deploy.auth_utils import auth_per_resource
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

stacks, _ = SamLocalStackProvider.get_stacks("template.yaml")
print(json.dumps(auth_per_resource(stacks)))
"""

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:model-key-AbCdEf"
PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0"
MODEL = "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"

PROVIDERS = {
    "demo": {},
    "openai": {"Models": "m", "ProviderSecret": SECRET},
    "anthropic": {"Models": "m", "ProviderSecret": SECRET},
    "bedrock": {"Models": "m", "BedrockModelArns": MODEL},
}
# What the role allows a function that asks nobody but the demo.
ALWAYS = {"AppendAndReadStreams", "CountAgainstTheLimits", "Log", "Trace"}
TABLE = {"Fn::GetAtt": ["StreamTable", "Arn"]}

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
def stack(transformed: str) -> Stack:
    """The stack that the defaults make."""
    return Stack(json.loads(transformed))


def test_sam_accepts_the_template() -> None:
    run(SAM / "sam", "validate", "--lint")


def test_cloudformation_accepts_what_sam_makes_of_it(transformed: str, tmp_path: Path) -> None:
    template = tmp_path / "transformed.json"
    template.write_text(transformed)

    run(SAM / "cfn-lint", "--template", template)


@pytest.mark.parametrize("access", ["tokens", "open"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_whatever_is_chosen_nothing_refers_to_what_is_not_there(
    stack: Stack, access: str, provider: str
) -> None:
    for concurrency, topic in product(["", "0", "50"], ["", TOPIC]):
        deployed = stack.with_parameters(
            Access=access,
            Provider=provider,
            ReservedConcurrency=concurrency,
            AlarmTopicArn=topic,
            **PROVIDERS[provider],
        )

        assert not deployed.dangling()
        assert not deployed.refusals()


def test_a_guided_deployment_asks_nothing_that_enter_does_not_answer_well() -> None:
    """It asks of every door that it takes for open if that is okay, and Enter means no."""
    doors = json.loads(run(SAM / "python", "-c", DOORS))
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]["deploy"]

    assert [door for door, has_authentication in doors if not has_authentication] == []
    # SAM CLI asks about a changeset by a question to which Enter means no, too.
    assert settings["parameters"]["confirm_changeset"] is False


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
    deployed = stack.with_parameters(Provider="openai", OpenAIBaseUrl="http://m/v1", Models="m")
    # Where a secret is has the secret's own name and this at the end.
    names = {name.removesuffix("_FROM") for name in deployed.variables}

    unread = {name for name in names if not re.search(rf"\b{name}\b", source)}

    assert unread <= {"AWS_LAMBDA_EXEC_WRAPPER", "POWERTOOLS_SERVICE_NAME"}


def test_sam_local_is_recognised_by_the_name_that_it_gives_the_table(stack: Stack) -> None:
    """SAM CLI takes a resource's logical id for what `Ref` is deployed as."""
    assert stack.variables["TABLE_NAME"] == {"Ref": UNDER_SAM_LOCAL}


def settings_of(stack: Stack) -> Settings:
    """What the code makes of the function's environment."""
    return Settings.from_environ({name: str(value) for name, value in stack.variables.items()})


def limits_of(stack: Stack) -> Limits:
    return Limits.from_environ({name: str(value) for name, value in stack.variables.items()})


def test_limits_are_set_unless_they_are_taken_away(stack: Stack) -> None:
    unlimited = stack.with_parameters(
        RequestsPerMinute="",
        ConnectsPerMinute="",
        StreamConnectsPerMinute="",
        TokensPerDay="",
        TotalTokensPerDay="",
    )

    assert limits_of(stack) == Limits(
        requests_per_minute=60,
        connects_per_minute=600,
        stream_connects_per_minute=60,
        tokens_per_day=1_000_000,
        total_tokens_per_day=5_000_000,
    )
    assert limits_of(unlimited) == Limits()


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
        ("RequestsPerMinute", ["", "0", "60"], ["-1", "1.5", "many"]),
        ("ConnectsPerMinute", ["", "0", "600"], ["-1", "1.5", "many"]),
        ("StreamConnectsPerMinute", ["", "0", "60"], ["-1", "1.5", "many"]),
        ("ReservedConcurrency", ["", "0", "50"], ["00", "-1", "05"]),
        ("AlarmTopicArn", ["", TOPIC], ["alarms", f"{TOPIC} "]),
        ("ProviderSecret", ["", SECRET], ["sk-1234"]),
        ("BedrockModelArns", ["", MODEL, f"{PROFILE},{MODEL}"], ["*", MODEL.replace("nova", "*")]),
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


# Who may create streams


def test_a_token_is_made_unless_access_is_open(stack: Stack) -> None:
    """48 letters and digits are 285 random bits."""
    [(name, secret)] = stack.properties_of("AWS::SecretsManager::Secret").items()

    assert secret["GenerateSecretString"] == {
        "SecretStringTemplate": "{}",
        "GenerateStringKey": "default",
        "PasswordLength": 48,
        "ExcludePunctuation": True,
    }
    assert stack.variables["API_TOKENS_FROM"] == {"Fn::Sub": f"secretsmanager:${{{name}}}"}
    assert stack.statements["ReadTheApiTokens"]["Resource"] == {"Ref": name}
    assert stack.outputs["TokensSecretArn"]["Value"] == {"Ref": name}


def test_the_application_reads_the_secret_as_it_is_made(stack: Stack) -> None:
    [secret] = stack.properties_of("AWS::SecretsManager::Secret").values()
    recipe = secret["GenerateSecretString"]
    token = "a" * recipe["PasswordLength"]
    members = json.loads(recipe["SecretStringTemplate"]) | {recipe["GenerateStringKey"]: token}

    assert ApiTokens.parse(json.dumps(members)).name_of(token) == "default"


def test_open_access_makes_no_token_and_reads_none(stack: Stack) -> None:
    deployed = stack.with_parameters(Access="open")

    assert not deployed.properties_of("AWS::SecretsManager::Secret")
    assert not [name for name in deployed.variables if "TOKENS_FROM" in name]
    assert deployed.statements.keys() == ALWAYS
    assert "TokensSecretArn" not in deployed.outputs


def test_no_secret_is_shown_or_asked_for(stack: Stack) -> None:
    """CloudFormation keeps parameters, and shows those of no-echo type to who knows how.

    A dynamic reference is a secret's value, wherever it stands.
    """
    assert not [name for name in stack.template["Parameters"] if "Key" in name]
    assert "{{resolve:" not in json.dumps(stack.template)


# What the function may do


def test_it_may_append_to_and_read_its_table_and_change_only_its_counters(stack: Stack) -> None:
    log, counters = (
        stack.statements[sid] for sid in ("AppendAndReadStreams", "CountAgainstTheLimits")
    )

    assert log["Resource"] == counters["Resource"] == TABLE
    assert set(log["Action"]) == {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"}
    assert counters["Action"] == "dynamodb:UpdateItem"
    # ForAllValues also holds of a request that names no key.
    assert counters["Condition"] == {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": "limit:*"},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }


def test_it_may_do_nothing_else_but_log_trace_and_read_its_tokens(stack: Stack) -> None:
    assert stack.statements.keys() == ALWAYS | {"ReadTheApiTokens"}
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


def test_with_bedrock_it_may_also_ask_the_models_that_are_named(stack: Stack) -> None:
    deployed = stack.with_parameters(
        Provider="bedrock", Models="eu.amazon.nova-lite-v1:0", BedrockModelArns=f"{PROFILE},{MODEL}"
    )

    statement = deployed.statements["AskTheModels"]

    assert statement["Action"] == "bedrock:InvokeModelWithResponseStream"
    assert statement["Resource"] == [PROFILE, MODEL]
    assert deployed.variables["MODELS"] == "eu.amazon.nova-lite-v1:0"


@pytest.mark.parametrize(
    ("provider", "variable"),
    [("anthropic", "ANTHROPIC_API_KEY_FROM"), ("openai", "OPENAI_API_KEY_FROM")],
)
def test_with_a_key_it_may_also_read_that_secret_and_is_told_only_where_it_is(
    stack: Stack, provider: str, variable: str
) -> None:
    deployed = stack.with_parameters(Provider=provider, Models="m", ProviderSecret=SECRET)

    statement = deployed.statements["ReadTheKey"]

    assert statement["Action"] == "secretsmanager:GetSecretValue"
    assert statement["Resource"] == SECRET
    keys = {name: value for name, value in deployed.variables.items() if "KEY" in name}
    assert keys == {variable: f"secretsmanager:{SECRET}"}


@pytest.mark.parametrize("provider", ["demo", "bedrock"])
def test_a_secret_that_the_provider_does_not_need_may_not_be_read(
    stack: Stack, provider: str
) -> None:
    deployed = stack.with_parameters(Provider=provider, ProviderSecret=SECRET)

    assert deployed.statements.keys() == ALWAYS | {"ReadTheApiTokens"}
    assert not [name for name in deployed.variables if "KEY" in name]


def test_a_server_of_ones_own_needs_no_key(stack: Stack) -> None:
    url = "https://models.example.com/v1"
    deployed = stack.with_parameters(
        Provider="openai", Models="m", OpenAIBaseUrl=url, OpenAIPrefill="true"
    )

    assert deployed.variables["OPENAI_BASE_URL"] == url
    assert deployed.variables["OPENAI_PREFILL"] == "true"
    assert not deployed.refusals()
    assert "ReadTheKey" not in deployed.statements


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
    stack: Stack, parameters: dict[str, str], missing: list[str]
) -> None:
    refusals = stack.with_parameters(**parameters).refusals()

    assert [refusal.partition(" ")[0] for refusal in refusals] == missing


# What is kept, and for how long


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


# What is watched


@pytest.mark.parametrize(("topic", "actions"), [("", None), (TOPIC, [TOPIC])])
def test_alarms_are_sent_where_there_is_a_topic_for_them(
    stack: Stack, topic: str, actions: list[str] | None
) -> None:
    deployed = stack.with_parameters(AlarmTopicArn=topic, ReservedConcurrency="50")
    alarms = deployed.properties_of("AWS::CloudWatch::Alarm").values()

    assert len(alarms) == 7
    assert all(each.get("AlarmActions") == actions for each in alarms)
    assert all(each.get("OKActions") == actions for each in alarms)


def test_nothing_to_measure_is_no_alarm(stack: Stack) -> None:
    """Metrics are written when streams end: at night there are none."""
    alarms = stack.properties_of("AWS::CloudWatch::Alarm").values()

    assert {each["TreatMissingData"] for each in alarms} == {"notBreaching"}


@pytest.mark.parametrize("reserved", ["", "0"])
def test_concurrency_runs_out_only_where_some_is_reserved(stack: Stack, reserved: str) -> None:
    stopped = stack.with_parameters(ReservedConcurrency=reserved)

    assert "ConcurrencyRunsOut" not in stopped.resources
    expressions = stack.with_parameters(ReservedConcurrency="50").resources["ConcurrencyRunsOut"]
    assert list(values_of(expressions, "Expression")) == ["100 * running / 50"]


def test_alarms_watch_what_the_code_counts_for_this_stack(stack: Stack) -> None:
    alarms = stack.properties_of("AWS::CloudWatch::Alarm")
    # A metric stands in the alarm itself, or in an expression's member.
    watched = [
        each
        for each in [*alarms.values(), *values_of(alarms, "Metric")]
        if each.get("Namespace") == metrics.NAMESPACE
    ]

    assert {each["MetricName"] for each in watched} == {
        "TimeToFirstToken",
        "Takeovers",
        "Errors",
        "TokensSpent",
    }
    assert {each["MetricName"] for each in watched} <= metrics.UNITS.keys()
    service = {"Name": "service", "Value": stack.variables["POWERTOOLS_SERVICE_NAME"]}
    assert all(each["Dimensions"] == [service] for each in watched)


def test_the_dashboard_shows_all_that_the_code_counts(stack: Stack) -> None:
    [dashboard] = stack.properties_of("AWS::CloudWatch::Dashboard").values()
    body = dashboard["DashboardBody"]["Fn::Sub"]

    shown = {name for namespace, name in graphed(body) if namespace == metrics.NAMESPACE}

    assert shown == metrics.UNITS.keys()
    assert f'"service", "{stack.variables["POWERTOOLS_SERVICE_NAME"]}"' in body


def test_there_is_a_page_on_what_to_do_at_each_alarm(stack: Stack) -> None:
    page = (ROOT / "docs/operations.md").read_text()
    deployed = stack.with_parameters(ReservedConcurrency="50")

    alarms = deployed.properties_of("AWS::CloudWatch::Alarm")

    assert {row[1] for row in re.finditer(r"^\| `(\w+)`", page, re.MULTILINE)} == alarms.keys()
