"""The application context of a command in an event loop, and the arguments that several commands take."""

import asyncio
import getpass
import os
import socket
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import IO, Any, TypeVar

import click
from pydantic import BaseModel

from config.logging_config import redact
from worker.bootstrap.context import AppContext, open_context
from worker.bootstrap.dispatch import create_celery_app
from worker.cli.stores import REDIS_TIMEOUT_S, check_redis, load_settings
from worker.domain.errors import SlackError, UserError
from worker.store.audit import DONE, FAILED, REFUSED, AuditTrail
from worker.store.redis_errors import StoreUnavailable

__all__ = ["AppContext", "run"]

ResultT = TypeVar("ResultT")
#: The commands that change something, for the audit trail.
CHANGES = frozenset(
    f"{group} {verb}"
    for group, verbs in {
        "api-tokens": "add revoke", "dead-letters": "replay discard", "keys": "rotate", "parked": "resume",
        "integrations": "add rotate disable enable remove",
        "subscriptions": "add move pause resume mute unmute remove apply",
    }.items()
    for verb in verbs.split()
)  # fmt: skip
HIDDEN = ("as_json", "secret", "token", "token_stdin")
NAME_MAX = 80
file_argument = click.argument("file", type=click.File("rb"), metavar="FILE|-")
template_option = click.option(
    "--template", "template_file", type=click.File("rb"), metavar="FILE",
    help="Template of the messages: Jinja2 text or Block Kit JSON.",
)  # fmt: skip


def run(work: Callable[[AppContext], Coroutine[Any, Any, ResultT]], *, can_wake: bool = False) -> ResultT:
    """Run a coroutine with the application context; `can_wake` lets it send wake-up calls for lanes."""
    settings = load_settings()

    async def main() -> ResultT:
        celery = create_celery_app(settings) if can_wake else None
        async with open_context(settings, celery=celery, redis_timeout_s=REDIS_TIMEOUT_S) as app:
            await check_redis(app)
            return await _run_audited(app, work)

    return asyncio.run(main())


async def _run_audited(app: AppContext, work: Callable[[AppContext], Coroutine[Any, Any, ResultT]]) -> ResultT:
    """Run a command's work, and record it in the audit trail afterwards if the command changes something."""
    context = click.get_current_context(silent=True)
    what = context.command_path.partition(" ")[2] if context else ""
    if context is None or what not in CHANGES or context.params.get("dry_run"):
        return await work(app)
    shown = {
        name: value
        for name, value in context.params.items()
        if name not in HIDDEN and value and isinstance(value, str | int | tuple | BaseModel)
    }
    which = redact(" ".join(f"{name}={value}" for name, value in shown.items()))
    outcome = FAILED
    try:
        result = await work(app)
        outcome = DONE
    except (UserError, SlackError, click.ClickException):
        outcome = REFUSED
        raise
    finally:
        with suppress(StoreUnavailable):  # the error of the work itself is shown
            await AuditTrail(app.redis).append(current_user(), f"ik-slack {what}", which, outcome)
    return result


def current_user() -> str:
    """Return the user of this machine who runs the command."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def check_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    """Return the name of a new thing; raise BadParameter when it cannot be one."""
    if not 1 <= len(name) <= NAME_MAX or not name.isprintable() or name != name.strip():
        raise click.BadParameter(f"A name has 1 to {NAME_MAX} printable characters, without spaces around them.")
    return name


def read_text(file: IO[bytes]) -> str:
    """Return the text of a file; raise UserError when it is not UTF-8."""
    raw = b""
    try:
        raw = file.read()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        is_utf16 = raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
        problem = "is UTF-16 text" if is_utf16 else f"is not UTF-8 text (byte {error.start + 1})"
        raise UserError(f"The file {problem}: save it as UTF-8.") from None
    except OSError as error:
        raise UserError(f"The file cannot be read: {error.strerror}.") from None
