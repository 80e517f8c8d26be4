"""Ask by OpenAI's own client, and get the whole answer, whatever is cut or killed on the way.

    make run
    OPENAI_BASE_URL=http://127.0.0.1:3000/v1 OPENAI_API_KEY=unused \
        python -m examples.openai_client "What is a tide?"

Break the connection meanwhile, or kill the sandbox that writes: the text continues where it was.
"""

import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from openai import APIConnectionError, APIError, APIStatusError, OpenAI
from openai.types.responses import Response

FINAL = 500
ENDS = ("response.completed", "response.incomplete", "response.failed")


def events(client: OpenAI, **request: Any) -> Iterator[Any]:
    """The events of one response, each once, up to its end."""
    # Until the first event there is no id: if it is lost, the key finds the same response again.
    key = {"Idempotency-Key": str(uuid4())}
    response_id, last = "", -1
    while True:
        try:
            if response_id:
                stream = client.responses.retrieve(response_id, stream=True, starting_after=last)
            else:
                stream = client.responses.create(stream=True, extra_headers=key, **request)
            for event in stream:
                last = event.sequence_number
                if event.type == "response.created":
                    response_id = event.response.id
                yield event
                if event.type in ENDS:
                    return
        except APIError as error:
            if not passes(error):
                raise


def passes(error: APIError) -> bool:
    """True if the connection or a sandbox broke, or if the function had to hand over."""
    if isinstance(error, APIStatusError):
        return error.status_code > FINAL
    return isinstance(error, APIConnectionError) or error.code == "interrupted"


def ask(client: OpenAI, **request: Any) -> Response | None:
    """Write the answer while it grows."""
    written, response = "", None
    for event in events(client, **request):
        if event.type == "response.output_text.delta":
            write(event.delta)
            written += event.delta
        elif event.type in ENDS:
            response = event.response
    # Some agents start over after an interruption. The last event has the text that counts.
    if response is not None and written != response.output_text:
        write(f"\n\nIt started over. The answer is:\n\n{response.output_text}")
    write("\n")
    return response


def write(text: str) -> None:
    """Write some text at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    ended = ask(OpenAI(), model="demo", input=" ".join(sys.argv[1:]) or "hello")
    sys.exit(ended is None or ended.status != "completed")
