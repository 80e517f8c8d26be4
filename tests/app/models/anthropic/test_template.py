"""Anthropic in template.yaml."""

import pytest

from tests.stack import Stack

SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:model-key-AbCdEf"

pytestmark = pytest.mark.sam


def test_with_a_key_it_may_also_read_that_secret_and_is_told_only_where_it_is(stack: Stack) -> None:
    deployed = stack.with_parameters(Provider="anthropic", Models="m", ProviderSecret=SECRET)

    statement = deployed.statements["ReadTheKey"]

    assert statement["Action"] == "secretsmanager:GetSecretValue"
    assert statement["Resource"] == SECRET
    keys = {name: value for name, value in deployed.variables.items() if "KEY" in name}
    assert keys == {"ANTHROPIC_API_KEY_FROM": f"secretsmanager:{SECRET}"}


@pytest.mark.parametrize(
    ("parameters", "missing"),
    [
        ({"Models": "m"}, ["ProviderSecret"]),
        ({"Models": "m", "ProviderSecret": SECRET}, []),
    ],
)
def test_a_deployment_that_lacks_a_setting_is_refused_before_anything_is_made(
    stack: Stack, parameters: dict[str, str], missing: list[str]
) -> None:
    refusals = stack.with_parameters(Provider="anthropic", **parameters).refusals()

    assert [refusal.partition(" ")[0] for refusal in refusals] == missing
