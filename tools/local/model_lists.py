"""A service's list of models, for a default where MODELS names none."""

from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from local.exceptions import CannotStart

# For a distant service, and for a server on this machine that may be busy with its model.
LIMIT = 10.0
# Parts of the names of models that do not chat; OpenAI lists them among the others.
_NOT_FOR_CHAT = (
    "audio",
    "babbage",
    "codex",
    "dall-e",
    "davinci",
    "embed",
    "image",
    "instruct",
    "moderation",
    "realtime",
    "rerank",
    "research",
    "search",
    "sora",
    "transcribe",
    "tts",
    "whisper",
)


async def listed(url: str, headers: Mapping[str, str], *, limit: float = LIMIT) -> list[str]:
    """The names of the models that chat, the newest first where the server reports their age.

    Raises:
        CannotStart: the server does not answer, or not with a list.
    """
    parts = urlsplit(url)
    where = f"{parts.hostname}{parts.path}"  # Not the whole address, which may hold a password.
    on_this_machine = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    try:
        # A proxy is for other machines.
        async with httpx.AsyncClient(timeout=limit, trust_env=not on_this_machine) as client:
            answer = await client.get(url, headers=dict(headers))
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise CannotStart(f"{where} does not answer ({type(error).__name__})") from None
    if answer.status_code != httpx.codes.OK:
        raise CannotStart(f"{where} answers {answer.status_code}")
    try:
        models = sorted(answer.json()["data"], key=_created, reverse=True)
        names = [str(model["id"]) for model in models]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise CannotStart(f"{where} answers with something that is no list of models") from None
    return [name for name in names if not any(part in name.lower() for part in _NOT_FOR_CHAT)]


def _created(model: Mapping[str, object]) -> int:
    created = model.get("created")
    return created if isinstance(created, int) else 0
