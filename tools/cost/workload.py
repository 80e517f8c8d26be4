"""The inputs of the computation: an answer, and the stack that writes it."""

from dataclasses import dataclass

from cost.options import option

# The longest time of an invocation before its hand-over (template.yaml).
LONGEST_SECONDS = 898.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An average answer. Times are in seconds."""

    input_tokens: int = option(1000, "tokens read by the model")
    output_tokens: int = option(500, "tokens written by the model, thinking included")
    tokens_per_second: float = option(60.0, "the model's pace")
    first_token_seconds: float = option(0.8, "seconds until the model's first token")
    bytes_per_token: float = option(4.0, "bytes per token in the event log")
    readers: int = option(1, "readers that follow the answer, each from the beginning")
    reconnects: float = option(0.1, "reconnects per answer")
    snapshots: float = option(0.0, "GET /streams/{id} per answer, after its end")

    @property
    def speaking_seconds(self) -> float:
        """Seconds from the first token to the last."""
        return (self.output_tokens - 1) / self.tokens_per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """The settings of the deployment; the last ones are the application's own."""

    memory_mb: int = option(512, "the function's memory")
    architecture: str = option("arm64", "the function's processor", "arm64", "x86_64")
    door: str = option("url", "the function's URL or the REST API", "url", "rest")
    creation: str = option(
        "post", "POST /streams and a reader, as the page does; or GET /sse", "post", "sse"
    )
    call_seconds: float = option(0.005, "seconds per call of DynamoDB")
    request_seconds: float = option(0.01, "seconds per request, without calls of DynamoDB")
    cold_starts: float = option(0.05, "share of the requests that start a sandbox")
    cold_start_seconds: float = option(1.2, "seconds per cold start, which are billed too")
    request_counters: int = option(1, "limits on requests: REQUESTS_PER_MINUTE")
    connect_counters: int = option(2, "limits on connects: the owner's and the stream's")
    token_counters: int = option(2, "limits on tokens: the owner's and the total")
    traced: float = option(1.0, "share of the requests that X-Ray samples: 1/s, then 5 %")
    recoverable: bool = option(default=True, text="point-in-time recovery")
    kept_days: float = option(1.0, "days until an answer expires; DynamoDB may delete it later")
    event_padding_bytes: int = option(0, "EVENT_PADDING_BYTES")
    flush_interval: float = option(0.04, "seconds between two appends")
    heartbeat: float = option(0.5, "seconds of silence before a heartbeat")
    poll_interval: float = option(0.05, "seconds between two polls while text arrives")
    poll_interval_idle: float = option(0.5, "seconds between two polls while none arrives")


def check(answer: Answer, stack: Stack) -> None:
    """Raise ValueError for inputs that the formulas do not cover."""
    if min(answer.input_tokens, answer.output_tokens, answer.readers) < 1:
        raise ValueError("tokens and readers must be at least 1")
    if answer.tokens_per_second <= 0:
        raise ValueError("the pace must be more than 0 tokens a second")
    if answer.first_token_seconds + answer.speaking_seconds > LONGEST_SECONDS:
        raise ValueError(
            f"an answer that takes more than {LONGEST_SECONDS:g} s is handed over to another "
            "invocation, which sends the prompt to the model again: count it as two answers"
        )
    if min(stack.flush_interval, stack.poll_interval, stack.heartbeat) <= 0:
        raise ValueError("intervals must be more than 0 seconds")
