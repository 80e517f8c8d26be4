"""Bedrock in template.yaml."""

import re

import pytest

from tests.stack import Stack

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:model-key-AbCdEf"
PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0"
MODEL = "arn:aws:bedrock:eu-west-1::foundation-model/amazon.nova-lite-v1:0"

pytestmark = pytest.mark.sam


def test_with_bedrock_it_may_also_ask_the_models_that_are_named(stack: Stack) -> None:
    deployed = stack.with_parameters(
        Provider="bedrock", Models="eu.amazon.nova-lite-v1:0", BedrockModelArns=f"{PROFILE},{MODEL}"
    )

    statement = deployed.statements["AskTheModels"]

    assert statement["Action"] == "bedrock:InvokeModelWithResponseStream"
    assert statement["Resource"] == [PROFILE, MODEL]
    assert deployed.variables["MODELS"] == "eu.amazon.nova-lite-v1:0"


def test_a_secret_that_bedrock_does_not_need_may_not_be_read(stack: Stack) -> None:
    deployed = stack.with_parameters(Provider="bedrock", ProviderSecret=SECRET)

    assert deployed.statements.keys() == stack.statements.keys()
    assert not [name for name in deployed.variables if "KEY" in name]


def test_arns_with_wildcards_are_refused(stack: Stack) -> None:
    pattern = stack.template["Parameters"]["BedrockModelArns"]["AllowedPattern"]

    assert all(re.fullmatch(pattern, value) for value in ("", MODEL, f"{PROFILE},{MODEL}"))
    assert not [
        value for value in ("*", MODEL.replace("nova", "*")) if re.fullmatch(pattern, value)
    ]


@pytest.mark.parametrize(
    ("parameters", "missing"),
    [
        ({"Models": "m"}, ["BedrockModelArns"]),
        ({"Models": "m", "BedrockModelArns": MODEL}, []),
    ],
)
def test_a_deployment_that_lacks_a_setting_is_refused_before_anything_is_made(
    stack: Stack, parameters: dict[str, str], missing: list[str]
) -> None:
    refusals = stack.with_parameters(Provider="bedrock", **parameters).refusals()

    assert [refusal.partition(" ")[0] for refusal in refusals] == missing
