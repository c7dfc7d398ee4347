"""`ik-slack publish`: every event of a file unchanged, or none if one is invalid."""

import json
from typing import Any

import pytest
import redis
from support.cli import Shell

from worker.bootstrap.context import AppContext
from worker.sandbox.embedded_redis import EmbeddedRedis
from worker.services.publishing import LATE_MS, convert_bodies
from worker.sources import LabelMapping, parse

EVENT = {"specversion": "1.0", "id": "1", "source": "/me", "type": "hello"}
BODY = {
    "event_type": "update", "entity_type": "workflow", "entity_id": "7", "title": "t", "message": "m",
    "status": "info", "metadata": None,
}  # fmt: skip


def published(url: str, stream: str = "infrakitchen:events") -> dict[str, Any]:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return {entry_id: json.loads(fields["event"]) for entry_id, fields in client.xrange(stream)}


@pytest.mark.parametrize(
    "text", [json.dumps([EVENT, BODY]), f"{json.dumps(EVENT)}\n{json.dumps(BODY)}\n"], ids=["array", "lines"]
)
def test_events_of_both_forms_are_published_in_order(shell: Shell, redis_url: str, text: str) -> None:
    ended = shell("publish", shell.file(text))
    assert (ended.code, ended.out, ended.err) == (0, "Published 2 events.\n", "")
    assert list(published(redis_url).values()) == [EVENT, BODY]


def test_the_entry_ids_are_printed_for_machines(shell: Shell, redis_url: str) -> None:
    ended = shell("publish", "-", "--json", stdin=json.dumps(EVENT))
    assert ended.json == list(published(redis_url))


def test_another_stream_is_published_to_when_it_is_set(shell: Shell, redis_url: str) -> None:
    shell.env.setenv("EVENTS_STREAM", "elsewhere")
    assert shell("publish", "-", stdin=json.dumps(EVENT)).out == "Published 1 event.\n"
    assert len(published(redis_url, "elsewhere")) == 1


def test_publishing_needs_no_encryption_key(shell: Shell) -> None:
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
def test_one_invalid_event_is_named_and_nothing_is_published(
    shell: Shell, redis_url: str, text: str | bytes, reason: str
) -> None:
    ended = shell("publish", "-", stdin=text)
    assert ended.code == 1
    assert reason in ended.err
    assert len(ended.err.splitlines()) == 1
    assert published(redis_url) == {}


ALERT = {"status": "firing", "labels": {"alertname": "DiskFull"}, "startsAt": "2026-01-02T03:00:00Z"}
GROUP: dict[str, Any] = {
    "receiver": "r", "version": "4", "alerts": [ALERT | {"fingerprint": fingerprint} for fingerprint in ("a", "b")],
}  # fmt: skip


def test_every_alert_of_a_webhooks_body_is_an_event(shell: Shell, redis_url: str) -> None:
    lines = [EVENT, GROUP, GROUP | {"version": "1", "orgId": 1}, BODY]
    ended = shell("publish", "-", stdin="\n".join(map(json.dumps, lines)))
    assert (ended.code, ended.out, ended.err) == (0, "Published 6 events.\n", "")
    first, *alerts, last = published(redis_url).values()
    assert (first, last) == (EVENT, BODY)
    assert [alert["source"].partition(":")[0] for alert in alerts] == ["alertmanager"] * 2 + ["grafana"] * 2
    assert {alert["type"] for alert in alerts} == {"io.infrakitchen.alert.firing"}


def test_a_wrong_alert_is_left_out_with_a_warning(shell: Shell, redis_url: str) -> None:
    good, bad = GROUP["alerts"][0], {"status": "firing", "labels": {"alertname": "NoStart"}}
    ended = shell("publish", "-", stdin=json.dumps(GROUP | {"alerts": [bad, good]}))
    assert (ended.code, ended.out) == (0, "Published 1 event.\n")
    assert ended.err.startswith("Warning: event 1 of 1: alerts[0].startsAt: missing")
    assert len(published(redis_url)) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (GROUP | {"alerts": []}, "event 1 of 1: alerts: missing or empty"),
        (GROUP | {"alerts": [{}]}, "event 1 of 1: alerts[0]"),
        (GROUP | {"version": "3"}, "event 1 of 1: version: '3' is not known"),
        ({"receiver": "r", "version": "4"}, "event 1 of 1: alerts: missing or empty"),
        ({"receiver": "r"}, "event 1 of 1: neither a CloudEvent"),
    ],
)
def test_a_webhooks_body_without_a_usable_alert_publishes_nothing(
    shell: Shell, redis_url: str, body: object, reason: str
) -> None:
    ended = shell("publish", "-", stdin=json.dumps(body))
    assert (ended.code, ended.out) == (1, "")
    assert reason in ended.err
    assert len(ended.err.splitlines()) == 1
    assert published(redis_url) == {}


def test_an_alert_that_fires_again_has_the_id_of_its_round_as_from_the_webhook(shell: Shell, redis_url: str) -> None:
    shell.env.setenv("KEY_PREFIX", "another")

    async def store_resolution(app: AppContext) -> None:
        alert = GROUP["alerts"][0] | {"status": "resolved", "endsAt": "2026-01-02T03:05:00Z"}
        raw = convert_bodies([GROUP | {"alerts": [alert]}], LabelMapping()).events[0]
        ago_ms = await app.redis.now_ms() - 2 * LATE_MS
        await app.events.save_bodies([(parse(raw, f"{ago_ms}-0"), raw)])

    firing = json.dumps(GROUP | {"alerts": GROUP["alerts"][:1]})
    assert shell("publish", "-", stdin=firing).code == 0
    shell.store(store_resolution)
    assert shell("publish", "-", stdin=firing).code == 0
    first, again = (event["id"] for event in published(redis_url).values())
    assert again.startswith(f"{first}:")


def test_an_empty_input_publishes_nothing(shell: Shell) -> None:
    assert shell("publish", "-").out == "Published 0 events.\n"


def test_a_file_that_is_not_there_is_wrong_use(shell: Shell) -> None:
    ended = shell("publish", "nowhere.json")
    assert ended.code == 2
    assert "No such file" in ended.err


@pytest.mark.slow
def test_ten_thousand_events_arrive_in_order(shell: Shell, redis_url: str) -> None:
    events = [EVENT | {"id": str(number)} for number in range(10_000)]
    ended = shell("publish", shell.file("\n".join(map(json.dumps, events))))
    assert ended.out == "Published 10,000 events.\n"
    assert list(published(redis_url).values()) == events


def test_redis_out_of_reach_is_one_line(shell: Shell) -> None:
    shell.env.setenv("REDIS_URL", "redis://127.0.0.1:9")
    ended = shell("publish", "-", stdin=json.dumps(EVENT))
    assert ended.code == 1
    assert ended.err.startswith("Error: Redis does not answer")


def test_a_failure_half_way_reports_how_many_events_were_published(shell: Shell) -> None:
    with EmbeddedRedis(shell.folder / "small") as url, redis.Redis.from_url(url) as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 6_000_000)
        shell.env.setenv("REDIS_URL", url)
        big = [EVENT | {"id": str(number), "subject": "x" * 2000} for number in range(6000)]
        ended = shell("publish", shell.file(json.dumps(big)))
    assert ended.code == 1
    assert "of 6,000 events were published. Publish the file again" in ended.err
