"""The same application as one would put it behind the stock runtime: Mangum, which buffers."""

from mangum import Mangum

from app.main import app

handler = Mangum(app)
