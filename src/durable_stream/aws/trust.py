"""The authorities by which DynamoDB's certificate is verified.

OpenSSL takes 20 ms to read the authorities of a system, of which there are 140 and more. AWS signs
with those of Amazon Trust Services (https://www.amazontrust.com/repository/). So only these are
taken from the system's file at first, and all where a certificate has another one, as behind a
proxy.
"""

import base64
import ssl
from pathlib import Path

from durable_stream.exceptions import StoreRefused

# As they are written in the certificates. Any authority of the system may be used, so a name that
# another one has as well does no harm.
_AMAZON = (b"Amazon Root CA ", b"Starfield Services Root Certificate Authority - G2")
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"


class Trust:
    """The TLS context of the connections to one endpoint: the system's authorities, or a file's.

    Raises StoreRefused if the file cannot be read.
    """

    def __init__(self, ca_bundle: str | None = None) -> None:
        amazon = None if ca_bundle else _amazon()
        self.is_whole = amazon is None
        self.context = amazon or _everything(ca_bundle)

    def widen(self) -> None:
        """Trust every authority of the system. Blocks for 20 ms."""
        self.context, self.is_whole = _everything(None), True


def _amazon() -> ssl.SSLContext | None:
    """Amazon's authorities among the system's; None without a file that has some."""
    path = ssl.get_default_verify_paths().cafile
    try:
        blocks = Path(path).read_bytes().split(_BEGIN)[1:] if path else []
        found = [base64.b64decode(block.partition(_END)[0]) for block in blocks]
        ours = b"".join(each for each in found if any(name in each for name in _AMAZON))
        return ssl.create_default_context(cadata=ours) if ours else None
    except (OSError, ValueError):
        return None


def _everything(ca_bundle: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_bundle)
    except OSError as error:
        raise StoreRefused(f"AWS_CA_BUNDLE {ca_bundle!r} cannot be read: {error}") from error
