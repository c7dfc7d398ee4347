"""Publishing is one XADD on a sync or asyncio client; a text that is not an event is rejected before."""

import json

import pytest
from fakeredis import FakeAsyncRedis, FakeRedis
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.event import MAX_EVENT_BYTES
from worker.publish import encode, publish, read_events
from worker.sources import parse

EVENT = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}


@pytest.mark.parametrize("event", [EVENT, json.dumps(EVENT), json.dumps(EVENT).encode(), f"\ufeff{json.dumps(EVENT)}"])
def test_an_event_is_published_in_any_form(event: dict[str, object] | str | bytes) -> None:
    redis = FakeRedis()
    entry_id = publish(redis, event)
    [(found_id, fields)] = redis.xrange("infrakitchen:events")
    assert found_id == entry_id
    assert json.loads(fields[b"event"]) == EVENT


async def test_an_asyncio_client_gives_an_awaitable() -> None:
    redis = FakeAsyncRedis()
    entry_id = await publish(redis, EVENT, stream="elsewhere")
    [(found_id, _)] = await redis.xrange("elsewhere")
    assert found_id == entry_id
    await redis.aclose()


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("[]", "the event is not a JSON object"),
        (b"\xff", "the event is not JSON: .*"),
        ("{", "the event is not JSON: .*"),
        ('{"a": NaN}', "the event is not JSON: NaN is not a JSON value"),
        ({"a": float("inf")}, "the event is not JSON: .*"),
        ({"a": object()}, "the event is not JSON: .*"),
        ("[" * 100_000, "the event is nested too deep"),
        (
            {"a": "ä" * (MAX_EVENT_BYTES // 2)},
            f"the event has 262153 bytes; at most {MAX_EVENT_BYTES} are accepted",
        ),
    ],
)
def test_a_text_that_is_not_an_event_is_rejected(event: dict[str, object] | str | bytes, reason: str) -> None:
    redis = FakeRedis()
    with pytest.raises(ValueError, match=reason):
        publish(redis, event)
    assert not redis.exists("infrakitchen:events")


@given(st.text(st.characters(codec=None)))
def test_a_published_event_can_be_parsed(text: str) -> None:
    for event in (EVENT | {"subject": text}, json.dumps(EVENT | {"subject": text}, ensure_ascii=False)):
        parse(encode(event), "1-0").title.encode()


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ('{"a": 1}', [{"a": 1}]),
        ('{\n "a":\n 1}\n', [{"a": 1}]),
        ('[{"a": 1}, {"b": 2}]', [{"a": 1}, {"b": 2}]),
        ('{"a": 1}\n\n{"b": 2}\n', [{"a": 1}, {"b": 2}]),
        ('\ufeff{"a": 1}\r\n{"b": 2}', [{"a": 1}, {"b": 2}]),
        ('\ufeff{"a": 1}\n\ufeff[{"b": 2}]\n\ufeff', [{"a": 1}, {"b": 2}]),
        ("", []),
        (" \n ", []),
    ],
)
def test_a_file_holds_an_object_an_array_or_json_lines(text: str, events: list[dict[str, object]]) -> None:
    assert read_events(text) == events


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1}\n{"b" 2}', "line 2 column 6: Expecting ':' delimiter"),
        ('{"a": 1}\n\n"b"', 'line 3: an event is a JSON object, not "b"'),
        ('\n[{"a": 1},\n 5]', "line 2, element 2: an event is a JSON object, not 5"),
        ('{"a": 1}\n{"a": NaN}', "line 2: NaN is not a JSON value"),
        ("\n" + "[" * 100_000, "line 2: nested too deep"),
    ],
)
def test_the_error_names_the_wrong_line(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        read_events(text)
