"""Amazon Bedrock's ConverseStream, through boto3."""

from app.models.bedrock.provider import BedrockProvider

__all__ = ["BedrockProvider"]
