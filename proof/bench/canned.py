"""A read-only DynamoDB that holds one stream, as text made beforehand.

moto takes milliseconds for every item it returns: with it, a replay would measure nothing else.
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proof.bench.dynamodb import Item

_PAGE = 1024 * 1024  # the most that DynamoDB returns, counted as it stores items
_POSITION = re.compile(rb'"(?::start|seq)":\s*\{"N":\s*"(\d+)"\}')
_LIMIT = re.compile(rb'"Limit":\s*(\d+)')


@contextmanager
def serving(items: Sequence["Item"]) -> Iterator[str]:
    """The URL of a DynamoDB whose every stream is this one, for as long as the block runs.

    Query gives a page from the position named `:start` on, of as many items as `Limit` says,
    GetItem the item at a `seq`. Their other parameters are ignored.
    """
    with _Server(items) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield "http://{}:{}".format(*server.server_address)
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, items: Sequence["Item"]) -> None:
        super().__init__(("127.0.0.1", 0), _Conversation)
        self._items = items
        self._pages: dict[tuple[int, int], bytes] = {}

    def item(self, position: int) -> bytes:
        found = self._items[position : position + 1]
        return json.dumps({"Item": found[0]} if found else {}).encode()

    def page(self, start: int, limit: int) -> bytes:
        if (start, limit) not in self._pages:
            self._pages[start, limit] = json.dumps(self._page(start, limit)).encode()
        return self._pages[start, limit]

    def _page(self, start: int, limit: int) -> dict[str, Any]:
        sizes = accumulate(map(_stored_size, self._items[start : start + limit]))
        page = self._items[start : start + sum(size <= _PAGE for size in sizes)]
        answer: dict[str, Any] = {"Items": page, "Count": len(page)}
        if start + len(page) < len(self._items):
            answer["LastEvaluatedKey"] = {name: page[-1][name] for name in ("stream_id", "seq")}
        return answer


class _Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        request = self.rfile.read(int(self.headers["Content-Length"]))
        position = _number(_POSITION, request, 0)
        if self.headers["X-Amz-Target"].endswith(".Query"):
            answer = self.server.page(position, _number(_LIMIT, request, sys.maxsize))
        else:
            answer = self.server.item(position)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """Write no access log."""


def _number(pattern: re.Pattern[bytes], request: bytes, default: int) -> int:
    found = pattern.search(request)
    return int(found[1]) if found else default


def _stored_size(item: "Item") -> int:
    """Names and values; numbers take less in truth (AWS docs, CapacityUnitCalculations)."""
    return sum(len(name) + len(str(*value.values())) for name, value in item.items())
