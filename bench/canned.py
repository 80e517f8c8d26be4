"""A DynamoDB that only answers Query, for one stream, from text made beforehand.

moto takes milliseconds for every item it returns: with it, a replay would measure nothing else.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.dynamodb import Item

_PAGE = 1024 * 1024  # what DynamoDB returns at most, counted as it stores items
_START = re.compile(rb'":start":\s*\{"N":\s*"(\d+)"\}')


@contextmanager
def serving(items: Sequence["Item"]) -> Iterator[str]:
    """The URL of a DynamoDB whose every stream is this one, for as long as the block runs.

    A query may say from which `seq` on, as `:start`; everything else in it is taken as given.
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
        self._pages: dict[int, bytes] = {}

    def page(self, start: int) -> bytes:
        if start not in self._pages:
            self._pages[start] = json.dumps(self._page(start)).encode()
        return self._pages[start]

    def _page(self, start: int) -> dict[str, Any]:
        size = 0
        for end in range(start, len(self._items)):
            size += _stored_size(self._items[end])
            if size > _PAGE:
                last = {name: self._items[end - 1][name] for name in ("stream_id", "seq")}
                page = self._items[start:end]
                return {"Items": page, "Count": len(page), "LastEvaluatedKey": last}
        page = self._items[start:]
        return {"Items": page, "Count": len(page)}


class _Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        query = self.rfile.read(int(self.headers["Content-Length"]))
        start = _START.search(query)
        page = self.server.page(int(start[1]) if start else 0)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: Any) -> None:
        """Nobody reads an access log here."""


def _stored_size(item: "Item") -> int:
    """Names and values; numbers take less in truth (AWS docs, CapacityUnitCalculations)."""
    return sum(len(name) + len(str(*value.values())) for name, value in item.items())
