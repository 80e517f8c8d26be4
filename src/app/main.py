"""The handler that Lambda calls, `app.main.handler`.

`app` is a plain ASGI application; any ASGI server runs it as well, where it finds its table and
AWS credentials (README.md has the line for uvicorn).
"""

import os
import pkgutil
from dataclasses import replace

from app import models, parts
from app.application import create_app
from app.settings import Settings
from lambda_stream import Adapter, snapshot

settings = Settings.from_environ(os.environ)
settings = replace(settings, provider=models.resolve(settings.provider, os.environ))
app = create_app(
    settings,
    models.create(settings.provider, os.environ),
    # Another module than `app.agent` is for trying one out: `make run ARGS="--agent …"`.
    agents=pkgutil.resolve_name(f"{os.environ.get('AGENTS') or 'app.agent'}:AGENTS"),
    gate=parts.gate(os.environ),
    hooks=parts.hooks(os.environ),
    wires=parts.WIRES,
)
if snapshot.is_taken(os.environ):
    # The sandboxes that are restored need not import them.
    for wire in parts.WIRES:
        wire.load()
handler = Adapter(app)
