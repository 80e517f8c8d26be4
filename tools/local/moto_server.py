"""moto's DynamoDB as a process of its own: `python -m local.moto_server [ADDRESS]` prints its URL.

It differs from `moto_server` as an event log needs:

1. It serves one request at a time. moto checks a condition and stores the item in two steps, so
   under threads two puts of one key can both succeed (observed). The event log relies on a
   conditional put being atomic.
2. A query reads only its partition. moto sorts every item of the table for every query, so each
   stream would slow down all later ones.
3. It serves DynamoDB alone. Finding the service of a request costs moto a third of every call.
4. It returns items as they are stored. moto inspects every attribute again, which takes most of a
   second for a page of 500 items, and reads of the event log time out.
5. It refuses web pages. moto allows cross-origin calls from every site, and accepts every Host.
6. It notes which sandbox wrote which stream (local.writers).
"""

import copy
import io
import logging
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from http import HTTPStatus
from threading import Lock
from typing import Any

from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.table import Table
from moto.moto_server import werkzeug_app
from werkzeug.serving import make_server

from local.containers import HOST_NAME
from local.hosts import is_ours
from local.writers import NotesWriters

LOOPBACK = "127.0.0.1"

query_table = Table.query


def query_partition(
    table: Table,
    hash_key: DynamoType | None,
    range_comparison: str | None,
    range_values: list[DynamoType],
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Call `Table.query` on a view of the table with only the items that match the key."""
    view = copy.copy(table)
    if hash_key is not None and not table.all_indexes():
        items = table.items.get(hash_key, {})
        if range_comparison is not None:
            items = {
                key: item
                for key, item in items.items()
                if key.compare(range_comparison, range_values)
            }
        view.items = defaultdict(dict, {hash_key: items})
    return query_table(view, hash_key, range_comparison, range_values, *args, **kwargs)


class OneAtATime:
    """A WSGI application that serves one request at a time."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._lock = Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """Answer one request."""
        # Read before taking the lock: a client that is frozen halfway must not block the others.
        length = int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        with self._lock:
            return list(self._application(environ, start_response))


class HostCheck:
    """A WSGI application that refuses a Host that is neither this machine nor a given name."""

    def __init__(self, application: Callable[..., Iterable[bytes]], *names: str) -> None:
        self._application = application
        self._names = names

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        if is_ours(environ.get("HTTP_HOST", ""), *self._names):
            return self._application(environ, start_response)
        status = HTTPStatus.MISDIRECTED_REQUEST
        start_response(f"{status.value} {status.phrase}", [("Content-Length", "0")])
        return []


serialize_structure = BaseJSONSerializer._serialize_type_structure  # noqa: SLF001


def serialize_as_stored(
    serializer: BaseJSONSerializer, serialized: Any, value: Any, shape: Any, key: str
) -> None:
    """Replace `_serialize_type_structure`, since an attribute's value is JSON already."""
    if shape.name == "AttributeValue":
        serialized[key] = value
    else:
        serialize_structure(serializer, serialized, value, shape, key)


def main(address: str = LOOPBACK) -> None:
    """Serve at an address of this machine, on any free port, until the process is killed."""
    BaseJSONSerializer._serialize_type_structure = serialize_as_stored  # type: ignore[assignment,method-assign]  # noqa: SLF001
    Table.query = query_partition  # type: ignore[assignment,method-assign]
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    werkzeug_app.DISABLE_GLOBAL_CORS = True  # type: ignore[attr-defined]
    backend = OneAtATime(NotesWriters(werkzeug_app.create_backend_app("dynamodb")))
    application = HostCheck(backend, address, HOST_NAME)
    # Clients keep connections open between requests, so each needs a thread.
    server = make_server(address, 0, application, threaded=True)
    print(f"http://{address}:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
