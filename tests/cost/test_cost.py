"""The cost of an answer: its formulas against hand-made figures, and against a real run."""

import asyncio
import dataclasses
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import httpx
import pytest

import local
from app import metrics
from app.settings import Settings
from cost import bill as billing
from cost import ceiling as ceilings
from cost import records
from cost import usage as using
from cost.__main__ import main
from cost.bill import bill, total
from cost.ceiling import Limits, ceiling
from cost.prices import Prices, read
from cost.records import heartbeats, polls, text_records
from cost.sizes import GB, MB
from cost.usage import Usage, usage
from cost.workload import LONGEST_SECONDS, Answer, Stack, check
from durable_stream import polling
from durable_stream.outcome import MOST_LATENCIES
from local.template import read_table
from tests.store import FaultyStore, client, faulty, moto

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
TEMPLATE = (ROOT / "template.yaml").read_text()
OBSERVABILITY = (ROOT / "observability.yaml").read_text()

# 101 tokens in 1.5 s: the first after 0.5 s, then a record every 0.05 s.
ANSWER = Answer(
    input_tokens=1000,
    output_tokens=101,
    tokens_per_second=100,
    first_token_seconds=0.5,
    bytes_per_token=4,
    readers=1,
    reconnects=0,
)
BARE = Stack(
    memory_mb=1024,
    creation="sse",
    call_seconds=0.01,
    request_seconds=0,
    cold_starts=0,
    request_counters=0,
    connect_counters=0,
    token_counters=0,
)


def billed(answer: Answer, stack: Stack, **prices: Any) -> dict[str, float]:
    used = usage(answer, stack)
    return {line.what: line.dollars for line in bill(answer, stack, used, Prices(**prices)).answer}


# By hand


def test_a_record_follows_the_acknowledgement_of_the_previous_one_and_the_interval() -> None:
    assert text_records(ANSWER, BARE) == 1 + 1.0 / (0.01 + 0.04)


def test_a_model_slower_than_the_store_has_a_record_for_every_token() -> None:
    slow = dataclasses.replace(ANSWER, tokens_per_second=4, output_tokens=21)

    assert text_records(slow, BARE) == 21


def test_a_heartbeat_is_written_for_every_half_second_of_the_models_silence() -> None:
    assert heartbeats(ANSWER, BARE) == 0
    assert heartbeats(dataclasses.replace(ANSWER, first_token_seconds=3.5), BARE) == 6
    crawling = dataclasses.replace(ANSWER, output_tokens=3, tokens_per_second=0.4)
    assert heartbeats(crawling, BARE) == 2 * 4


def test_a_write_unit_is_billed_for_every_started_kilobyte_of_an_item() -> None:
    used = usage(ANSWER, BARE)

    # The start has 1,000 tokens of 4 bytes and 347 other bytes; 21 texts and one done follow.
    assert used.records == 1 + 21 + 1
    assert used.record_units == 5 + 21 + 1
    assert used.write_units == 27


def test_creating_by_post_takes_a_request_a_claim_and_two_reads_more() -> None:
    by_get, by_post = usage(ANSWER, BARE), usage(ANSWER, dataclasses.replace(BARE, creation="post"))

    assert (by_get.requests, by_post.requests) == (1, 2)
    assert by_post.write_units == by_get.write_units + 1
    # The 4,347 bytes of the start are two read units, and are read twice.
    assert (by_get.read_units, by_post.read_units) == (0, 4)


def test_a_limit_on_tokens_is_written_twice_and_one_on_requests_once() -> None:
    limited = dataclasses.replace(BARE, request_counters=1, token_counters=2)

    assert usage(ANSWER, limited).counter_units == 3 + 2


def test_a_limit_on_connects_is_written_for_every_reader_that_does_not_create() -> None:
    limited = dataclasses.replace(BARE, connect_counters=2)
    by_post = dataclasses.replace(limited, creation="post")
    others = dataclasses.replace(ANSWER, readers=3, reconnects=0.5)

    assert usage(ANSWER, limited).counter_units == 0
    assert usage(ANSWER, by_post).counter_units == 2
    assert usage(others, limited).counter_units == 2 * 2.5


def test_lambda_time_is_billed_from_the_request_to_the_settled_answer() -> None:
    used = usage(ANSWER, BARE)

    # The append of the start, the model, then the appends of the last text and of `done`.
    assert used.gb_seconds == pytest.approx(0.01 + 0.5 + 1.0 + 2 * 0.01)
    twice = dataclasses.replace(ANSWER, readers=2)
    assert usage(twice, BARE).gb_seconds == pytest.approx(used.gb_seconds + 0.5 + 1.0 + 2 * 0.01)
    cold = dataclasses.replace(BARE, cold_starts=0.5, cold_start_seconds=2, memory_mb=2048)
    assert usage(ANSWER, cold).gb_seconds == pytest.approx(2 * (used.gb_seconds + 1))


def test_a_reconnect_follows_the_rest_while_the_first_invocation_continues() -> None:
    dropped = dataclasses.replace(ANSWER, reconnects=1)
    without, with_one = usage(ANSWER, BARE), usage(dropped, BARE)

    assert with_one.requests == without.requests + 1
    assert with_one.gb_seconds == pytest.approx(without.gb_seconds + (1.5 + 0.02) / 2)
    assert with_one.consistent_units == 1
    # 0.75 s of text, a poll every 0.06 s.
    assert with_one.polls == 13


def test_polls_slow_down_to_the_idle_interval_while_the_model_is_silent() -> None:
    silent = dataclasses.replace(ANSWER, first_token_seconds=60, output_tokens=1)
    idle = 60 / (BARE.poll_interval_idle + BARE.call_seconds)

    assert polls(silent, BARE) == pytest.approx(idle, abs=6)


def test_each_line_is_its_usage_times_its_price() -> None:
    answer = dataclasses.replace(ANSWER, readers=2, snapshots=1)
    stack = dataclasses.replace(BARE, architecture="x86_64", kept_days=30.4, traced=0.5)
    used = usage(answer, stack)
    lines = billed(
        answer,
        stack,
        lambda_million_requests=2e6,
        lambda_gb_second_x86_64=3,
        dynamodb_million_writes=5e6,
        dynamodb_million_reads=7e6,
        dynamodb_gb_month=11,
        dynamodb_backup_gb_month=13,
        transfer_gb=17,
        logs_gb=19,
        million_traces=23e6,
        model_million_input_tokens=29,
        model_million_output_tokens=31,
    )

    assert lines == pytest.approx(
        {
            "Lambda requests": 3 * 2,
            "Lambda time, x86_64": used.gb_seconds * 3,
            "Lambda streaming": 0,
            "DynamoDB writes": 27 * 5,
            "DynamoDB reads": used.read_units * 7,
            "DynamoDB storage": used.stored_bytes / GB * 11,
            "DynamoDB recovery": used.stored_bytes / GB * 13,
            "DynamoDB expiry": 0,
            "API Gateway": 0,
            "Data to the internet": used.sent_bytes / GB * 17,
            "CloudWatch Logs": used.log_bytes / GB * 19,
            "X-Ray traces": 1.5 * 23,
            "Model, reading": 1000 * 29 / 1e6,
            "Model, writing": 101 * 31 / 1e6,
        }
    )


def test_padding_is_billed_for_the_part_of_a_response_beyond_the_free_6_mb() -> None:
    padded = dataclasses.replace(BARE, event_padding_bytes=MB, door="rest")
    used = usage(ANSWER, padded)

    assert used.response_bytes == pytest.approx(21 * MB, rel=0.001)
    assert used.streamed_beyond_free_bytes == pytest.approx(15 * MB, rel=0.001)
    assert used.api_requests == 3, "one for every started 10 MB"
    unpadded = usage(ANSWER, dataclasses.replace(BARE, door="rest"))
    assert (unpadded.streamed_beyond_free_bytes, unpadded.api_requests) == (0, 1)


def test_recovery_costs_nothing_when_it_is_off() -> None:
    lines = billed(ANSWER, dataclasses.replace(BARE, recoverable=False))

    assert not lines["DynamoDB recovery"]
    assert lines["DynamoDB storage"]


def test_the_highest_cost_of_a_day_follows_from_the_limits() -> None:
    prices = Prices(
        model_million_input_tokens=3,
        model_million_output_tokens=15,
        lambda_gb_second_arm64=0.5,
        lambda_million_requests=1e6,
        api_million_requests=1e6,
    )
    most = ceiling(Limits(total_tokens_per_day=2_000_000, concurrency=3), BARE, prices)

    assert {line.what: line.dollars for line in most.bounded} == {
        "Model": 2 * 15,
        "Lambda time": 3 * 1 * 86_400 * 0.5,
        "Lambda requests": 3 * 10 * 86_400,
        "API Gateway": 50 * 86_400,
    }


def test_wrong_tokens_make_each_sandbox_read_the_secret_once_a_minute() -> None:
    prices = Prices(secret_ten_thousand_reads=10_000)
    most = ceiling(Limits(concurrency=3), BARE, prices)

    assert {line.what: line.dollars for line in most.estimated}["Secret reads"] == 3 * 24 * 60


def test_without_a_limit_on_tokens_the_cost_of_a_day_is_unbounded() -> None:
    prices = Prices(model_million_output_tokens=15)
    most = ceiling(Limits(total_tokens_per_day=0), BARE, prices)

    assert total(most.bounded) == float("inf")


# The assumptions


def test_the_stack_has_the_settings_of_the_application() -> None:
    settings, stack = Settings(table_name="streams"), Stack()
    shared = ("flush_interval", "heartbeat", "poll_interval", "poll_interval_idle")

    for name in shared:
        assert getattr(stack, name) == getattr(settings.timing, name)
    assert stack.event_padding_bytes == settings.event_source.padding_bytes
    assert stack.kept_days * 24 * 3600 == settings.timing.stream_ttl
    assert 900 - settings.timing.handoff_margin == LONGEST_SECONDS
    assert using._MOST_LATENCIES == MOST_LATENCIES
    assert records._SLOWER == polling._SLOWER


def test_the_stack_has_the_settings_of_the_template() -> None:
    def default(parameter: str) -> str:
        found = re.search(
            rf"^  {parameter}:\n(?:    .*\n)*?    Default: (.+)\n", TEMPLATE, re.MULTILINE
        )
        assert found
        return found[1].strip('"')

    assert f"MemorySize: {Stack().memory_mb}\n" in TEMPLATE
    assert default("Architecture") == Stack().architecture
    assert (default("PointInTimeRecovery") == "true") == Stack().recoverable
    assert int(default("TotalTokensPerDay")) == Limits().total_tokens_per_day  # limits
    assert f"ThrottlingRateLimit: {ceilings._API_REQUESTS_PER_SECOND} " in TEMPLATE


@pytest.mark.limits
def test_every_metric_alarm_and_dashboard_of_the_stack_is_on_the_bill() -> None:
    alarms = OBSERVABILITY.split("Type: AWS::CloudWatch::Alarm\n")[1:]
    watched = [max(1, alarm.count("MetricStat:")) for alarm in alarms]

    assert len(metrics.UNITS) == billing.METRICS
    assert sum(watched) == billing.ALARM_METRICS
    assert OBSERVABILITY.count("Type: AWS::CloudWatch::Dashboard\n") == billing.DASHBOARDS


@pytest.mark.parametrize(
    "members",
    [
        {"output_tokens": 0},
        {"tokens_per_second": 0},
        {"output_tokens": 16_000, "tokens_per_second": 10},
    ],
)
def test_inputs_that_the_formulas_do_not_cover_are_refused(members: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"tokens|handed over"):
        check(dataclasses.replace(ANSWER, **members), BARE)


# The command line


def computed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_an_option_overrides_the_price_list_which_overrides_the_defaults(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    listed = tmp_path / "prices.json"
    listed.write_text('{"region": "eu-west-1", "as_of": "2026-12-01", "logs_gb": 0.57}')

    report = computed(capsys, "--prices", str(listed), "--transfer-gb", "0.05")

    assert report["prices"]["region"] == "eu-west-1"
    assert report["prices"]["logs_gb"] == 0.57
    assert report["prices"]["transfer_gb"] == 0.05
    assert report["prices"]["million_traces"] == Prices().million_traces


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"region": "eu-west-1", "lambda_request": 1}', "unknown price 'lambda_request'"),
        ('{"region": "eu-west-1", "logs_gb": "cheap"}', "logs_gb must be"),
        ('{"region": "eu-west-1", "logs_gb": true}', "logs_gb must be"),
        ('{"logs_gb": 0.57}', "add the `region`"),
        ("[]", "a JSON object"),
        ("{", "Expecting"),
    ],
)
def test_an_invalid_price_list_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    listed = tmp_path / "prices.json"
    listed.write_text(text)

    with pytest.raises(ValueError, match=problem):
        read(listed)


def test_lines_add_up_to_an_answer_and_answers_to_a_month(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = computed(capsys, "--streams-per-month", "50", "--model-million-output-tokens", "15")

    one = sum(line["dollars"] for line in report["bill"]["answer"])
    fixed = sum(line["dollars"] for line in report["bill"]["month"])
    assert report["dollars_per_answer"] == pytest.approx(one)
    assert report["dollars_per_month"]["50"] == pytest.approx(50 * one + fixed)


def test_the_report_names_the_price_list_and_every_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--region", "eu-north-1", "--as-of", "2026-12-24"]) == 0

    printed = capsys.readouterr().out
    assert "Prices of eu-north-1, 2026-12-24, as far as known" in printed
    assert "Pass your own" in printed
    for line in [*billed(Answer(), Stack()), "Custom metrics", "Secrets", "1,000,000 answers"]:
        assert line in printed


def test_the_documentation_shows_the_output_of_its_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    document = (ROOT / "docs/costs.md").read_text()
    example = re.search(
        r'^    make cost ARGS="(.+)"\n\n```\n(.+?)```', document, re.MULTILINE | re.DOTALL
    )
    assert example

    main(example[1].split())

    assert capsys.readouterr().out == example[2]


# Against a run

TOKEN = "made-up-and-long-enough-for-a-token"
TOKENS = 300
PACE = 60.0
FIRST_TOKEN = 2.5
PROMPT = "Why is the sky blue? " * 20

ENVIRONMENT = {
    "API_TOKENS": json.dumps({"default": TOKEN}),
    "REQUESTS_PER_MINUTE": "60",
    "CONNECTS_PER_MINUTE": "600",
    "STREAM_CONNECTS_PER_MINUTE": "60",
    "TOKENS_PER_DAY": "1000000",
    "TOTAL_TOKENS_PER_DAY": "5000000",
    "DEMO_TOKENS": str(TOKENS),
    "DEMO_TOKENS_PER_SECOND": str(PACE),
    "DEMO_FIRST_TOKEN_MS": str(int(FIRST_TOKEN * 1000)),
    "POWERTOOLS_METRICS_DISABLED": "false",
}


@dataclass(frozen=True)
class Run:
    """The counts of an answer with two readers, each in a sandbox of its own."""

    calls: Counter[str]
    items: Sequence[Mapping[str, Any]]
    lines: Sequence[str]
    bodies: Sequence[bytes]

    def values(self, metric: str) -> Iterator[float]:
        for line in self.lines:
            if metric in line and '"_aws"' in line:
                yield from json.loads(line)[metric]

    @property
    def log_bytes(self) -> int:
        return sum(len(line.encode()) + 26 for line in self.lines)

    @property
    def tokens(self) -> int:
        """The demo's output tokens, thinking included."""
        found = re.search(rb'"output_tokens":(\d+)', self.bodies[0])
        assert found
        return int(found[1])

    @property
    def streamed(self) -> Sequence[Mapping[str, Any]]:
        return [item for item in self.items if "kind" in item]

    @property
    def text_bytes(self) -> int:
        return sum(
            len(item["data"]["S"]) - len('{"text":""}')
            for item in self.streamed
            if item["kind"]["S"] in {"thinking", "answer"}
        )


@asynccontextmanager
async def function(store: FaultyStore, lines: list[str]) -> AsyncIterator[httpx.AsyncClient]:
    options = local.Options(
        port=0, provider="demo", sandboxes=2, dynamodb_url=store.url, env=ENVIRONMENT
    )
    async with (
        local.serve(options, lines.append) as running,
        httpx.AsyncClient(base_url=running.url, timeout=30) as http,
    ):
        yield http


async def idle(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(30):
        while any(each["invocations"] for each in await sandboxes(http)):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def sandboxes(http: httpx.AsyncClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await http.get("/_local/sandboxes")).json()
    return found


async def run() -> Run:
    """Count the calls, items and log lines of one answer, in two warm sandboxes."""
    lines: list[str] = []
    with moto() as upstream:
        async with faulty(upstream) as store, function(store, lines) as http:
            await asyncio.gather(*(http.get("/healthz") for _ in range(2)))
            await idle(http)
            store.calls.clear()
            lines.clear()
            created = await http.post(
                "/streams",
                json={"prompt": PROMPT},
                headers={"Authorization": f"Bearer {TOKEN}"},
            )
            reading = (http.get(created.json()["events_url"]) for _ in range(2))
            answers = await asyncio.gather(*reading)
            await idle(http)
            calls = Counter(store.calls)
        table = read_table(ROOT / "template.yaml").name
        items = client(upstream).scan(TableName=table)["Items"]
    logged = [line.partition(" | ")[2] for line in lines if line.startswith("sandbox-")]
    return Run(calls, items, logged, [answer.content for answer in answers])


def predicted(run: Run) -> Usage:
    """Apply the formulas to a run, with its measured latency of an append."""
    answer = Answer(
        input_tokens=len(PROMPT) // 4,
        output_tokens=run.tokens,
        tokens_per_second=PACE,
        first_token_seconds=FIRST_TOKEN,
        bytes_per_token=run.text_bytes / run.tokens,
        readers=2,
        reconnects=0,
    )
    cold = sum(run.values("ColdStart"))
    call = mean(run.values("AppendLatency")) / 1000
    return usage(answer, Stack(call_seconds=call, cold_starts=cold / 3, traced=0))


def item_bytes(item: Mapping[str, Any]) -> int:
    """DynamoDB developer guide, "Item sizes and formats"."""
    return sum(
        len(name) + (len(value["S"].encode()) if "S" in value else (len(value["N"]) + 1) // 2 + 1)
        for name, value in item.items()
    )


@pytest.mark.alone
@pytest.mark.timeout(120)
async def test_the_usage_of_a_run_matches_the_prediction() -> None:
    counted = await run()
    used = predicted(counted)

    assert counted.calls["PutItem"] == pytest.approx(used.records, rel=0.2)
    assert counted.calls["UpdateItem"] == used.counter_units  # limits
    kinds = Counter(item["kind"]["S"] for item in counted.streamed)
    assert kinds["heartbeat"] == pytest.approx(used.heartbeats, abs=1)
    # Three consistent reads of the two sandboxes, then the polls of the one that does not write.
    assert counted.calls["Query"] == pytest.approx(3 + used.polls, rel=0.25)
    sizes = [item_bytes(item) for item in counted.streamed]
    assert sum(-(-size // 1024) for size in sizes) == pytest.approx(used.record_units, rel=0.2)
    assert sum(sizes) + 100 * len(sizes) == pytest.approx(used.stored_bytes, rel=0.2)
    for body in counted.bodies:
        assert len(body) == pytest.approx(used.response_bytes, rel=0.2)
    assert counted.log_bytes == pytest.approx(used.log_bytes, rel=0.2)
