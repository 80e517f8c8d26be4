"""AWS Signature Version 4 for JSON requests to one service in one region.

AWS docs: IAM User Guide, "Create a signed AWS API request" (reference_sigv-create-signed-request).
"""

import hashlib
import hmac
import time
from dataclasses import dataclass, field

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The keys of a caller. `token` is the session token of temporary credentials."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class Signer:
    """Signs POST requests to `/` of one host."""

    def __init__(self, service: str, region: str, host: str) -> None:
        self._service = service
        self._region = region
        self._host = host
        # The key for a day is used a thousand times, and takes four hashes.
        self._key_of: tuple[str, str] = ("", "")
        self._key = b""

    def signed(
        self, headers: dict[str, str], body: bytes, credentials: Credentials, now: float
    ) -> dict[str, str]:
        """The headers with Host, date, token and signature. `now` is in Unix seconds.

        The names of `headers` are in lower case, and all are signed.
        """
        at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        day = at[:8]
        headers = {**headers, "host": self._host, "x-amz-date": at}
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        names = sorted(headers)
        signed_names = ";".join(names)
        canonical = "\n".join(
            (
                "POST\n/\n",
                *(f"{name}:{' '.join(headers[name].split())}" for name in names),
                "",
                signed_names,
                hashlib.sha256(body).hexdigest(),
            )
        )
        scope = f"{day}/{self._region}/{self._service}/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"{_ALGORITHM}\n{at}\n{scope}\n{digest}"
        key = self._signing_key(credentials.secret_key, day)
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        headers["authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={signed_names}, Signature={signature}"
        )
        return headers

    def _signing_key(self, secret: str, day: str) -> bytes:
        if self._key_of != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key, self._key_of = key, (secret, day)
        return self._key
