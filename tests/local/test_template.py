from pathlib import Path

import pytest

from local import CannotStart, Options
from local.template import Table, read_table

TEMPLATE = """
Parameters: {Name: {Type: String}}
Resources:
  Other: {Type: A, Properties: {A: !Ref Name, B: !GetAtt Other.Arn, C: !Join ["", [!Ref Name]]}}
  StreamTable:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: !Sub "${Name}-table"
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
"""


def test_the_table_is_read_past_cloudformations_intrinsics(tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(TEMPLATE)
    assert read_table(template) == Table(
        name="StreamTable",
        key_schema=[{"AttributeName": "id", "KeyType": "HASH"}],
        attributes=[{"AttributeName": "id", "AttributeType": "S"}],
        ttl_attribute=None,
    )


def test_the_projects_own_table_is_read() -> None:
    table = read_table(Options().template)
    assert [key["AttributeName"] for key in table.key_schema] == ["stream_id", "seq"]
    assert table.ttl_attribute == "expires_at"


@pytest.mark.parametrize(
    "text", ["", "Resources: {}", "Resources: [", "Resources: {StreamTable: 1}"]
)
def test_a_template_without_the_table_is_named_in_the_error(tmp_path: Path, text: str) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(text)
    with pytest.raises(CannotStart, match=r"template\.yaml does not describe the table"):
        read_table(template)
