"""The texts and exit codes of failed commands. Imported only when one fails, because it needs half the program."""

import io
import traceback

import click

from config.logging_config import redact
from config.settings import SettingsError
from worker.domain.errors import SlackError, UsageError, UserError
from worker.store.redis_errors import StoreUnavailable


def describe_error(error: Exception) -> tuple[str, int]:
    """Return the text for stderr, without any token, and the exit code: 1 failed, 2 wrong use.

    The reason is one line; only an internal error has a traceback.
    """
    code = 2 if isinstance(error, UsageError) else 1
    match error:
        case click.ClickException():
            message, code = io.StringIO(), error.exit_code
            error.show(message)
            text = message.getvalue()  # it repeats what the user typed
        case UserError() | SettingsError():
            text = f"Error: {error}\n"
        case SlackError():
            text = f"Error: Slack rejected the call: {error.reason}\n"
        case StoreUnavailable():
            text = f"Error: {error.failure.reason} ({error}). {error.failure.fix}\n"
        case _:
            text = traceback.format_exc()  # an internal error: for a bug report
    return redact(text), code
