"""The same application as one would put it behind the stock runtime: Mangum, which buffers.

Mangum starts an application up with every request. Ours does so once, while the sandbox
initialises; for a fair comparison, what that costs most is done here at import.
"""

from mangum import Mangum

from app.main import app, settings
from durable_stream.table import Table

table = Table(settings.table_name)
handler = Mangum(app)
