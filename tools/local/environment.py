"""A sandbox's environment: what Lambda sets, and nothing of the developer's shell."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

from local.options import Options

REGION = "us-east-1"
FUNCTION_NAME = "StreamFunction"
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:000000000000:function:{FUNCTION_NAME}"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_SESSION_TOKEN": "local",
}


def sandbox_environment(
    options: Options, runtime_api: str, backend: Mapping[str, str], *, clock_offset: float = 0.0
) -> dict[str, str]:
    """The variables of a sandbox whose Runtime API listens at `runtime_api` (host:port).

    `backend` tells the table and the provider; credentials there take the place of made-up ones.
    """
    concurrent = options.concurrency > 1
    return {
        **_fixed(),
        **CREDENTIALS,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(options.memory),
        "AWS_LAMBDA_LOG_STREAM_NAME": f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{uuid4().hex}",
        "AWS_LAMBDA_INITIALIZATION_TYPE": (
            "lambda-managed-instances" if concurrent else "on-demand"
        ),
        **({"AWS_LAMBDA_MAX_CONCURRENCY": str(options.concurrency)} if concurrent else {}),
        **({"LOCAL_CLOCK_OFFSET": str(clock_offset)} if clock_offset else {}),
        "LAMBDA_TASK_ROOT": str(options.task_root.resolve()),
        "_HANDLER": options.handler,
        **backend,
        **options.env,
        # What was chosen, and shown: `--env PROVIDER=…` has been heard by then.
        "PROVIDER": backend["PROVIDER"],
    }


def _fixed() -> dict[str, str]:
    major, minor = sys.version_info[:2]
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
        # Not the developer's: boto3 would find their profile there.
        "HOME": "/nonexistent",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{major}.{minor}",
        "AWS_LAMBDA_FUNCTION_NAME": FUNCTION_NAME,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{FUNCTION_NAME}",
        # Nobody counts here; between the lines of a log that somebody reads they would be noise.
        "POWERTOOLS_METRICS_DISABLED": "true",
    }
