"""A file that a command reads, or standard input."""

from typing import IO

import click

from worker.domain.errors import Problem

file_argument = click.argument("file", type=click.File("rb"), metavar="FILE|-")


def text_of(file: IO[bytes]) -> str:
    """All of its text; Problem when it is none."""
    try:
        return file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(f"The file is not UTF-8 text (byte {error.start + 1}): save it as UTF-8.") from None
    except OSError as error:
        raise Problem(f"The file cannot be read: {error.strerror}.") from None
