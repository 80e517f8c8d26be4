"""The environment variables of a sandbox: those that Lambda sets, and none of the shell's."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from local.options import PROJECT, Options

REGION = "us-east-1"
FUNCTION_NAME = "StreamFunction"
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:000000000000:function:{FUNCTION_NAME}"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_SESSION_TOKEN": "local",
}


def sandbox_environment(
    options: Options,
    runtime_api: str,
    backend: Mapping[str, str],
    *,
    sandbox_id: str,
    clock_offset: float = 0.0,
) -> dict[str, str]:
    """Return the variables of a sandbox whose Runtime API listens at `runtime_api` (host:port).

    `backend` has the variables of the table and the provider; its credentials, if any, replace the
    made-up ones.
    """
    concurrent = options.concurrency > 1
    return {
        **_fixed(),
        **CREDENTIALS,
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(options.memory),
        "AWS_LAMBDA_LOG_STREAM_NAME": f"{datetime.now(UTC):%Y/%m/%d}/[$LATEST]{sandbox_id}",
        # Lambda does not set it. With it, the table sees which sandbox writes: local.writers.
        "AWS_SDK_UA_APP_ID": sandbox_id,
        "AWS_LAMBDA_INITIALIZATION_TYPE": _initialization_type(options),
        **({"AWS_LAMBDA_MAX_CONCURRENCY": str(options.concurrency)} if concurrent else {}),
        **_agents(options),
        **({"LOCAL_CLOCK_OFFSET": str(clock_offset)} if clock_offset else {}),
        "LAMBDA_TASK_ROOT": str(options.task_root.resolve()),
        "_HANDLER": options.handler,
        **backend,
        **options.env,
        # The provider in the summary; its choice has already considered `--env PROVIDER=`.
        "PROVIDER": backend["PROVIDER"],
    }


def _initialization_type(options: Options) -> str:
    if options.concurrency > 1:
        return "lambda-managed-instances"
    return "snap-start" if options.snapstart else "on-demand"


def _agents(options: Options) -> dict[str, str]:
    """The variables that let the function find agents outside of its own code."""
    return {"AGENTS": options.agent, "PYTHONPATH": str(PROJECT)} if options.agent else {}


def _fixed() -> dict[str, str]:
    major, minor = sys.version_info[:2]
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
        # In the developer's home boto3 would find their profile.
        "HOME": "/nonexistent",
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{major}.{minor}",
        "AWS_LAMBDA_FUNCTION_NAME": FUNCTION_NAME,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{FUNCTION_NAME}",
        # Metrics are printed as log lines, which nothing collects here.
        "POWERTOOLS_METRICS_DISABLED": "true",
    }
