"""The same application behind the stock runtime, as people write it.

Mangum buffers, and starts an application up with every request. Powertools and a client of
DynamoDB are made when the module is imported, so that no request waits for them.
"""

import boto3
from aws_lambda_powertools import Logger, Metrics
from mangum import Mangum

from app.main import app

logger = Logger()
metrics = Metrics()
table = boto3.client("dynamodb")
handler = Mangum(app)
