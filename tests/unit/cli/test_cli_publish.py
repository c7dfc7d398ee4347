"""Publishing: every event of a file or, if one is wrong, none; each in the stream as it was written."""

import json

import pytest
import redis
from cli_shell import Shell

from worker.sandbox.redis import EmbeddedRedis

EVENT = {"specversion": "1.0", "id": "1", "source": "/me", "type": "hello"}
BODY = {
    "event_type": "update", "entity_type": "workflow", "entity_id": "7", "title": "t", "message": "m",
    "status": "info", "metadata": None,
}  # fmt: skip


def published(url: str, stream: str = "infrakitchen:events") -> dict[str, object]:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return {entry_id: json.loads(fields["event"]) for entry_id, fields in client.xrange(stream)}


@pytest.mark.parametrize(
    "text", [json.dumps([EVENT, BODY]), f"{json.dumps(EVENT)}\n{json.dumps(BODY)}\n"], ids=["array", "lines"]
)
def test_events_of_both_forms_are_published_in_order(shell: Shell, redis_url: str, text: str) -> None:
    ended = shell("publish", shell.file(text))
    assert (ended.code, ended.out, ended.err) == (0, "published 2 events\n", "")
    assert list(published(redis_url).values()) == [EVENT, BODY]


def test_the_entry_ids_are_printed_for_machines(shell: Shell, redis_url: str) -> None:
    ended = shell("publish", "-", "--json", stdin=json.dumps(EVENT))
    assert ended.json == list(published(redis_url))


def test_another_stream_is_published_to_when_it_is_set(shell: Shell, redis_url: str) -> None:
    shell.env.setenv("EVENTS_STREAM", "elsewhere")
    assert shell("publish", "-", stdin=json.dumps(EVENT)).out == "published 1 event\n"
    assert len(published(redis_url, "elsewhere")) == 1


def test_no_key_ring_is_needed(shell: Shell) -> None:
    shell.env.setenv("ENCRYPTION_KEY", "")
    assert shell("publish", "-", stdin=json.dumps(EVENT)).code == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{json.dumps(EVENT)}\n{{oops", "line 2 column 2"),
        (json.dumps([EVENT, 5]), "line 1, element 2"),
        (json.dumps([EVENT, {"specversion": "1.0"}]), "event 2 of 2: id: missing"),
        (json.dumps([EVENT, EVENT | {"subject": "x" * 300_000}]), "event 2 of 2: the event has 300"),
        (b"\xff", "The file is not UTF-8"),
    ],
)
def test_one_wrong_event_keeps_all_out_and_is_named(
    shell: Shell, redis_url: str, text: str | bytes, reason: str
) -> None:
    ended = shell("publish", "-", stdin=text)
    assert ended.code == 1
    assert reason in ended.err
    assert len(ended.err.splitlines()) == 1
    assert published(redis_url) == {}


def test_nothing_is_nothing(shell: Shell) -> None:
    assert shell("publish", "-").out == "published 0 events\n"


def test_a_file_that_is_not_there_is_wrong_use(shell: Shell) -> None:
    ended = shell("publish", "nowhere.json")
    assert ended.code == 2
    assert "No such file" in ended.err


def test_ten_thousand_events_arrive_in_order(shell: Shell, redis_url: str) -> None:
    events = [EVENT | {"id": str(number)} for number in range(10_000)]
    ended = shell("publish", shell.file("\n".join(map(json.dumps, events))))
    assert ended.out == "published 10000 events\n"
    assert list(published(redis_url).values()) == events


def test_redis_out_of_reach_is_one_line(shell: Shell) -> None:
    shell.env.setenv("REDIS_URL", "redis://127.0.0.1:9")
    ended = shell("publish", "-", stdin=json.dumps(EVENT))
    assert ended.code == 1
    assert ended.err.startswith("Error: Redis does not answer")


def test_a_stream_that_fails_half_way_is_said_with_what_went_in(shell: Shell) -> None:
    with EmbeddedRedis(shell.folder / "small") as url, redis.Redis.from_url(url) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 6_000_000)
        shell.env.setenv("REDIS_URL", url)
        big = [EVENT | {"id": str(number), "subject": "x" * 2000} for number in range(6000)]
        ended = shell("publish", shell.file(json.dumps(big)))
    assert ended.code == 1
    assert "of 6,000 events were published. Publish the file again" in ended.err
