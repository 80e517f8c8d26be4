"""LLM answers as resumable streams: a plain ASGI application over one DynamoDB table."""
