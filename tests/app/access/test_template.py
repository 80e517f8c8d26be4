"""API tokens in template.yaml."""

import json

import pytest

from app.access.api_tokens import ApiTokens
from tests.stack import Stack

pytestmark = pytest.mark.sam


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
    assert deployed.statements.keys() == stack.statements.keys() - {"ReadTheApiTokens"}
    assert "TokensSecretArn" not in deployed.outputs
