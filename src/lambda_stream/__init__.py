"""A Lambda runtime that streams: it serves any ASGI application by Lambda response streaming.

`Adapter` is the only name an application needs:

    handler = Adapter(app)
"""

from lambda_stream.adapter import Adapter

__all__ = ["Adapter"]
