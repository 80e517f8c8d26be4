"""An answer, and the stack that gives it: what the cost depends on."""

from dataclasses import dataclass

from cost.options import option

# Of Lambda, for one invocation (template.yaml). An answer that takes longer is handed over.
LONGEST_SECONDS = 898.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as it is on average. Times are in seconds."""

    input_tokens: int = option(1000, "tokens read by the model")
    output_tokens: int = option(500, "tokens written by the model, its thinking included")
    tokens_per_second: float = option(60.0, "the model's pace")
    first_token_seconds: float = option(0.8, "how long the model takes for the first token")
    bytes_per_token: float = option(4.0, "bytes of a token in the log")
    readers: int = option(1, "who reads the answer while it is written, each from the beginning")
    reconnects: float = option(0.1, "connections that break and come back, for an answer")
    snapshots: float = option(0.0, "GET /streams/{id} when it is finished, for an answer")

    @property
    def speaking_seconds(self) -> float:
        """From the first token to the last."""
        return (self.output_tokens - 1) / self.tokens_per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """How the function is set up. The last ones are the application's own settings."""

    memory_mb: int = option(512, "the function's memory")
    architecture: str = option("arm64", "the function's processor", "arm64", "x86_64")
    door: str = option("url", "the function's URL or the REST API", "url", "rest")
    creation: str = option(
        "post", "POST /streams and a reader, as the page does; or GET /sse", "post", "sse"
    )
    call_seconds: float = option(0.005, "what one call of DynamoDB takes")
    request_seconds: float = option(0.01, "what a request takes besides calling DynamoDB")
    cold_starts: float = option(0.05, "share of the requests that start a sandbox")
    cold_start_seconds: float = option(1.2, "what starting one takes, which is paid for too")
    request_counters: int = option(1, "limits on requests that are set: REQUESTS_PER_MINUTE")
    connect_counters: int = option(2, "limits on connects that are set: the owner's, the stream's")
    token_counters: int = option(2, "limits on tokens that are set: one's own and the total")
    traced: float = option(1.0, "share of the requests that X-Ray samples: 1/s, then 5 %")
    recoverable: bool = option(default=True, text="whether point-in-time recovery is on")
    kept_days: float = option(1.0, "how long the table keeps an answer; DynamoDB may take longer")
    event_padding_bytes: int = option(0, "EVENT_PADDING_BYTES")
    flush_interval: float = option(0.04, "seconds between an append and the next")
    heartbeat: float = option(1.0, "seconds of silence that are worth a record")
    poll_interval: float = option(0.05, "seconds between two polls while text arrives")
    poll_interval_idle: float = option(0.5, "and while none does")


def check(answer: Answer, stack: Stack) -> None:
    """Raise ValueError for what the formulas do not hold for."""
    if min(answer.input_tokens, answer.output_tokens, answer.readers) < 1:
        raise ValueError("tokens and readers are counted from 1")
    if answer.tokens_per_second <= 0:
        raise ValueError("the pace must be more than 0 tokens a second")
    if answer.first_token_seconds + answer.speaking_seconds > LONGEST_SECONDS:
        raise ValueError(
            f"an answer that takes more than {LONGEST_SECONDS:g} s is handed over to another "
            "invocation, which pays the model for reading again: count it as two answers"
        )
    if min(stack.flush_interval, stack.poll_interval, stack.heartbeat) <= 0:
        raise ValueError("intervals must be more than 0 seconds")
