"""The AWS credentials of this shell, for a function that calls Bedrock from here.

boto3 finds them as the AWS CLI does: variables, a profile, single sign-on. The function gets the
credentials themselves, so it cannot renew them: restart when they expire.
"""

from collections.abc import Mapping

from local.exceptions import CannotStart


def variables(environ: Mapping[str, str]) -> dict[str, str] | None:
    """A sandbox's variables for these credentials and their region; None without any. Blocks.

    Raises:
        CannotStart: there are credentials, but they do not work, or no region is set.
    """
    # Imported late: it is slow, and most functions here need no credentials.
    import boto3
    from botocore.exceptions import BotoCoreError

    bearer = environ.get("AWS_BEARER_TOKEN_BEDROCK")
    try:
        # `--env` counts as the shell, so boto3 must not read the real one alone.
        session = boto3.Session(
            aws_access_key_id=environ.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=environ.get("AWS_SESSION_TOKEN"),
            profile_name=environ.get("AWS_PROFILE"),
        )
        found = None if bearer else session.get_credentials()
        frozen = found.get_frozen_credentials() if found else None
    except BotoCoreError as error:
        reason = type(error).__name__
        raise CannotStart(f"the AWS credentials of this shell do not work ({reason})") from None
    if not (bearer or frozen):
        return None
    region = environ.get("AWS_REGION") or session.region_name
    if not region:
        raise CannotStart("set AWS_REGION to the region whose Bedrock is to be called")
    known: dict[str, str] = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    if frozen:
        known |= {
            "AWS_ACCESS_KEY_ID": frozen.access_key or "",
            "AWS_SECRET_ACCESS_KEY": frozen.secret_key or "",
            # Empty where there is none: otherwise a sandbox has a made-up one.
            "AWS_SESSION_TOKEN": frozen.token or "",
        }
    return known
