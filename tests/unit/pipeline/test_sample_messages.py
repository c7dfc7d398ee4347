"""Every input in `tests/samples/` as the message that it makes, kept as text in `tests/golden/samples/`.

A file is read as `ik-slack preview` reads it, the requests of Alertmanager and Grafana as their webhooks do; a refusal
is its text. Files of `sequences/` go through the whole pipeline, and the golden text is the channel afterwards.
After a change that is meant: `UPDATE_GOLDEN=1 pytest tests/unit/pipeline/test_sample_messages.py`, then read
the difference as carefully as code.
"""

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.golden import GOLDEN, check_golden, message_as_text
from support.pipeline import Pipeline, deliver_paced, open_pipeline
from support.web import serve_web

from worker.cli.publish import read_events
from worker.domain.errors import UserError
from worker.publish import encode
from worker.services.preview import preview_events
from worker.slack.blocks import arguments

BASE = "https://infrakitchen.example.com"
NOW_MS = 1_796_040_000_000
SAMPLES = Path(__file__).parents[2] / "samples"
EVENTS = ("formatting", "infrakitchen", "monitoring")
FILES = [
    path.relative_to(SAMPLES)
    for folder in EVENTS
    for path in sorted((SAMPLES / folder).rglob("*"))
    if path.is_file()
]  # fmt: skip
SEQUENCES = [file for file in FILES if "sequences" in file.parts and file.suffix == ".jsonl"]
REQUESTS = [file for file in FILES if file.suffix == ".http"]
EVENTS = [file for file in FILES if file not in (*SEQUENCES, *REQUESTS)]


def golden_of(file: Path) -> Path:
    return GOLDEN / "samples" / file.with_name(f"{file.name}.txt")


async def preview(encoded: Sequence[bytes]) -> str:
    """Return the message of events, as text."""
    shown = await preview_events(encoded, now_ms=NOW_MS, subscription=None, template=None, infrakitchen_url=BASE)
    assert shown.message
    return message_as_text(shown.message)


@pytest.mark.parametrize("file", EVENTS, ids=str)
async def test_the_message_of_a_file_equals_its_golden_text(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        read = read_events(io.BytesIO((SAMPLES / file).read_bytes()), "Nothing to preview")
        text = await preview(read.events)
    except UserError as error:
        text = f"refused | {error}\n"
    check_golden(golden_of(file), {"preview": capsys.readouterr().err + text})


@pytest.mark.parametrize("file", REQUESTS, ids=str)
async def test_the_message_of_a_request_equals_its_golden_text(file: Path) -> None:
    head, _, body = (SAMPLES / file).read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *lines = head.decode().splitlines()
    method, path, _ = first.split()
    headers = dict(line.split(": ", 1) for line in lines)
    async with serve_web() as web:
        answer = await web.ask(method, path, body, headers=headers)
        entries = await web.entries()
    text = await preview(list(map(encode, entries))) if answer.status == 202 else f"refused | {answer.body['detail']}\n"
    check_golden(golden_of(file), {"preview": text})


async def play(lines: Sequence[bytes], *, at_once: bool) -> str:
    """Return what a channel holds after events that come together, or one every two minutes, as from people."""
    async with open_pipeline(infrakitchen_url=BASE) as pipeline:
        await pipeline.connect()
        await pipeline.subscribe()
        for bodies in [lines] if at_once else [[line] for line in lines]:
            pipeline.pass_time(0 if at_once else 118)
            await deliver_paced(pipeline, *bodies)
        return channel_text(pipeline)


def channel_text(pipeline: Pipeline) -> str:
    """Return the messages of a channel as they are now, each with the replies in its thread."""
    posts = dict(enumerate(pipeline.slack.posts, 1_700_000_001))
    text = ""
    for number, post in posts.items():
        if not post.thread_ts:
            text += f"--- message\n{message_as_text(arguments(post.message))}"
            replies = [reply for reply in posts.values() if reply.thread_ts.partition(".")[0] == str(number)]
            text += "".join(f"- reply\n{message_as_text(arguments(reply.message))}" for reply in replies)
    return text


@pytest.mark.parametrize("file", SEQUENCES, ids=str)
async def test_the_channel_after_a_sequence_equals_its_golden_text(file: Path) -> None:
    lines = (SAMPLES / file).read_bytes().splitlines()
    ways = {"one every two minutes": False, "all at once": True}
    check_golden(golden_of(file), {name: await play(lines, at_once=at_once) for name, at_once in ways.items()})


def test_every_sample_has_a_golden_text_and_every_golden_text_a_sample() -> None:
    written = {path for path in (GOLDEN / "samples").rglob("*") if path.is_file()}
    assert written == {golden_of(file) for file in FILES}
