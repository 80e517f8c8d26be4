"""DynamoDB's JSON protocol over asyncio, without boto3.

boto3 blocks, needs a thread for each call, and takes a third of a cold start to import. This
package knows the few operations of the log: it signs requests, keeps connections open, and
translates failures.

    api          one call: its attempts, its answer, its errors
    connections  keep-alive connections, each with one request at a time
    responses    the answer's bytes, without I/O
    signing      AWS Signature Version 4
    credentials  of the environment and of the container endpoint; all others through botocore
    endpoint     region and address; where that takes more than the environment, through botocore
"""
