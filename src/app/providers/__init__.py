"""Where answers come from. A request to one provider imports nothing of the others."""

from collections.abc import Mapping

from app.providers.base import Provider


def create(name: str, environ: Mapping[str, str]) -> Provider:
    """The provider of that name; raises ValueError with the names there are."""
    if name == "demo":
        from app.providers.demo import DemoProvider

        return DemoProvider.from_environ(environ)
    raise ValueError(f"PROVIDER={name!r} is not known: set it to one of: demo")
