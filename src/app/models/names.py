"""Which models may be asked for: `MODELS`, separated by commas, the default first."""

from collections.abc import Mapping


def from_environ(environ: Mapping[str, str], such_as: str) -> tuple[str, ...]:
    """The models that are allowed; raises ValueError, naming one, if there are none."""
    names = (name.strip() for name in environ.get("MODELS", "").split(","))
    models = tuple(dict.fromkeys(filter(None, names)))
    if not models:
        raise ValueError(
            "MODELS is not set: name the models that may be asked for, separated by commas, the "
            f"default first, such as {such_as}"
        )
    return models
