"""A file that a command reads, or standard input: its text, or the events in it."""

from typing import IO

import click

from worker.domain.errors import Problem

file_argument = click.argument("file", type=click.File("rb"), metavar="FILE|-")


template_option = click.option(
    "--template",
    "template_file",
    type=click.File("rb"),
    metavar="FILE",
    help="Jinja2 text or Block Kit JSON.",
)


def text_of(file: IO[bytes]) -> str:
    """All of its text; Problem when it is none."""
    try:
        return file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(f"The file is not UTF-8 text (byte {error.start + 1}): save it as UTF-8.") from None
    except OSError as error:
        raise Problem(f"The file cannot be read: {error.strerror}.") from None


def events_of(file: IO[bytes], failed: str) -> list[bytes]:
    """Its events as the stream holds them; Problem names the first that is none, after what `failed` says."""
    from worker.publish import encode, read_events
    from worker.sources import Unreadable, read

    try:
        found = read_events(text_of(file))
    except ValueError as error:
        raise Problem(f"{failed}: {error}.") from None
    encoded = []
    for place, event in enumerate(found, 1):
        try:
            raw = encode(event)
            read(raw, "0-0")
        except (ValueError, Unreadable) as error:
            raise Problem(f"{failed}: event {place} of {len(found)}: {error}.") from None
        encoded.append(raw)
    return encoded
