"""Amazon Bedrock's ConverseStream, through boto3."""

from app.providers.bedrock.provider import BedrockProvider

__all__ = ["BedrockProvider"]
