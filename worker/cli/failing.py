"""How a command ends: 0 done, 1 failed with one line on stderr, 2 wrong use. It never says a token."""

import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence

import click

from config.logs import redact
from config.settings import SettingsError
from worker.domain.errors import Problem, Refusal, WrongUse
from worker.store.outage import outage_of
from worker.store.server import Unavailable


def told_in_one_line(command: click.Command, arguments: Sequence[str] | None) -> int:
    """The exit code, after the reason of a failure was said."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        command.main(args=arguments, prog_name="ik-slack", standalone_mode=False)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        click.echo(redact(said.getvalue()), err=True, nl=False)  # it repeats what was typed
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what read our output has enough
        return 0
    except WrongUse as error:
        return _say(str(error), code=2)
    except (Problem, SettingsError) as error:
        return _say(str(error))
    except Refusal as error:
        return _say(f"Slack refused: {error.reason}")
    except Unavailable as error:
        outage = outage_of(error)
        return _say(f"{outage.reason} ({error}). {outage.mend}")
    except Exception:  # noqa: BLE001  # a fault of ours: told whole
        click.echo(redact(traceback.format_exc()), err=True, nl=False)
        return 1
    return 0


def _say(line: str, *, code: int = 1) -> int:
    click.echo(redact(f"Error: {line}"), err=True)
    return code
