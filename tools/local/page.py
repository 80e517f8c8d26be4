"""Adds the strip of the sandboxes to the chat page.

The page of a deployed function has no strip, so nothing of it is in the function: the emulator
adds its script and its style sheet to the answer. The page's Content-Security-Policy allows both,
because they are of the page's own origin.
"""

from http import HTTPStatus

from local.http1 import Connection, HeaderList

PATH = "/"
END_OF_HEAD = b"</head>"
STRIP = (
    b'<link rel="stylesheet" href="/_local/strip.css">'
    b'<script type="module" src="/_local/strip.js"></script>'
)
# The length that the function declared; a client would compare it with a body that is longer now.
LENGTH = "x-amzn-remapped-content-length"


class WithStrip:
    """A client that gets the strip if the answer is a page; otherwise the answer as it is."""

    def __init__(self, client: Connection) -> None:
        self._client = client
        # The part of a page that was held back, since the end of its head may begin in it.
        self._held: bytes | None = None

    @property
    def connected(self) -> bool:
        return self._client.connected

    async def begin(self, status: int, headers: HeaderList) -> None:
        """Send the head; raises ValueError as `Connection.begin` does."""
        headers = tuple(headers)
        if _is_page(status, dict(headers)):
            self._held = b""
            headers = tuple(pair for pair in headers if pair[0] != LENGTH)
        await self._client.begin(status, headers)

    async def send(self, data: bytes) -> None:
        """Send body bytes; those of a page only when its head has ended."""
        if self._held is not None:
            head, end, rest = (self._held + data).partition(END_OF_HEAD)
            if not end:
                self._held = head
                return
            self._held = None
            data = head + STRIP + end + rest
        await self._client.send(data)

    async def end(self) -> None:
        if self._held:
            await self._client.send(self._held)
        await self._client.end()

    def cut(self) -> None:
        self._client.cut()


def _is_page(status: int, headers: dict[str, str]) -> bool:
    """Return True for a page that can be changed, which one in a content coding cannot."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return (
        status == HTTPStatus.OK
        and media_type == "text/html"
        and ("content-encoding" not in headers)
    )
