"""The same application behind the stock runtime, as usual: with Mangum, which buffers.

Mangum starts an application up with every request. Ours starts up once, while the sandbox
initialises. For a fair comparison, the most expensive part of that is done here at import.
"""

from mangum import Mangum

from app.main import app, settings
from durable_stream.table import Table

table = Table(settings.table_name)
handler = Mangum(app)
