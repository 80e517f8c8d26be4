# ruff: noqa: F811 - pytest hands a fixture over by its name
"""The secret with the API tokens, as template.yaml makes it."""

import json

import pytest

from app.access.api_tokens import ApiTokens
from tests.stack import Stack
from tests.test_template import stack, transformed  # noqa: F401 - its fixtures

pytestmark = pytest.mark.sam


def test_the_application_reads_the_secret_as_it_is_made(stack: Stack) -> None:
    [secret] = stack.properties_of("AWS::SecretsManager::Secret").values()
    recipe = secret["GenerateSecretString"]
    token = "a" * recipe["PasswordLength"]
    members = json.loads(recipe["SecretStringTemplate"]) | {recipe["GenerateStringKey"]: token}

    assert ApiTokens.parse(json.dumps(members)).name_of(token) == "default"
