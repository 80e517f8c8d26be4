"""The emulator, from options to a URL."""

import asyncio
import errno
import importlib.util
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv4Address

from local.control import PREFIX, Control, is_control
from local.dynamodb import create_table, moto
from local.exceptions import CannotStart
from local.function_url import FunctionUrl
from local.hosts import is_ours
from local.http1 import Connection, Handler, Request, listen
from local.log import Log, terminal
from local.options import Options
from local.pool import Pool
from local.ports import LOOPBACK
from local.providers import Choice, choose
from local.template import read_table
from local.watchdog import Watchdog


@dataclass(frozen=True)
class Running:
    """The addresses of a running emulator.

    `warm_up` starts a sandbox before the first request; raises CannotStart if that fails.
    """

    url: str
    control_url: str
    dynamodb_url: str
    table_name: str
    provider: Choice
    warm_up: Callable[[], Awaitable[None]]


@asynccontextmanager
async def serve(options: Options, log: Log = terminal) -> AsyncIterator[Running]:
    """Run the emulator; on leaving, end all that it started.

    Raises:
        CannotStart: a requirement is missing or a port is taken; the message says what to do.
    """
    _check_bootstrap(options)
    _check_hooks(options)
    table = read_table(options.template)
    provider = await choose(options)
    with _bind(options) as listener, Watchdog() as watchdog:
        given = options.dynamodb_url
        async with nullcontext(given) if given else moto(watchdog, log) as dynamodb_url:
            await asyncio.to_thread(create_table, dynamodb_url, table, provider.variables)
            backend = {
                "TABLE_NAME": table.name,
                "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_url,
                **provider.variables,
            }
            pool = Pool(options, backend, watchdog, log)
            try:
                url = _url(listener)
                names = (options.host, listener.getsockname()[0])
                async with listen(
                    listener, _checking_host(_routes(pool, dynamodb_url), url, names)
                ):
                    yield Running(
                        url,
                        f"{url}{PREFIX}",
                        dynamodb_url,
                        table.name,
                        provider,
                        pool.warm_up,
                    )
            finally:
                await pool.close()


def _routes(pool: Pool, dynamodb_url: str) -> Handler:
    control, function_url = Control(pool, dynamodb_url), FunctionUrl(pool)

    async def route(connection: Connection, request: Request) -> None:
        handle = control if is_control(request.path) else function_url
        await handle(connection, request)

    return route


def _checking_host(handle: Handler, url: str, names: tuple[str, ...]) -> Handler:
    """Answer only requests whose Host names this machine; tell others the URL."""
    message = f"the Host header does not name this machine: open {url}/"
    refusal = {"error": {"code": "foreign_host", "message": message}}

    async def refuse_or_handle(connection: Connection, request: Request) -> None:
        if is_ours(request.header("host"), *names):
            await handle(connection, request)
        else:
            await connection.respond_json(HTTPStatus.MISDIRECTED_REQUEST, refusal)

    return refuse_or_handle


def _check_bootstrap(options: Options) -> None:
    bootstrap = options.task_root / "bootstrap"
    if not os.access(bootstrap, os.X_OK):
        raise CannotStart(
            f"{bootstrap} is not an executable file: name the folder that has it with --task-root"
        )


def _check_hooks(options: Options) -> None:
    if options.snapstart and importlib.util.find_spec("snapshot_restore_py") is None:
        raise CannotStart("--snapstart needs the package snapshot-restore-py: install it with pip")


def _bind(options: Options) -> socket.socket:
    try:
        return socket.create_server((options.host, options.port))
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"port {options.port} is in use: stop the process that listens there, or choose "
                "another port with --port (0 picks any free one)"
            ) from error
        raise CannotStart(f"cannot listen on {options.host}:{options.port}: {error}") from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()
    return f"http://{LOOPBACK if host == str(IPv4Address(0)) else host}:{port}"
