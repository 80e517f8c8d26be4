"""The application's log: Powertools' structured JSON, one line an occurrence.

Prompts, answers and whole stream ids never go in: who knows a stream's id can read the stream.
"""

from aws_lambda_powertools import Logger

logger = Logger(service="llm-stream")


def shortened(stream_id: str) -> str:
    """Enough of a stream id to find its lines, too little to read the stream with."""
    return stream_id[:8]
