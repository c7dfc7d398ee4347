"""Any bytes in the stream are either an Event or Unreadable with a reason."""

import json
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.examples import examples

from worker.domain.event import Event
from worker.sources import MAX_EVENT_BYTES, Unreadable, parse
from worker.sources.cloudevents import EventData

PLACE = "1700000000000-0"
ENVELOPE = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}
TYPES = (
    "io.infrakitchen.workflow.started",
    "io.infrakitchen.workflow.step_completed",
    "io.infrakitchen.workflow.failed",
    "io.infrakitchen.resource.state_changed",
    "io.infrakitchen.alert.firing",
    "io.infrakitchen.alert.resolved",
    "io.infrakitchen.storage.created",
    "something.else",
)
PARTS = sorted(EventData.model_fields)
STEP_PARTS = ("name", "position", "status", "error_message", "id", "type", "email")

text = st.text(st.characters(codec=None), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(text, inner, max_size=4)
        | st.dictionaries(st.sampled_from(STEP_PARTS), inner, max_size=4)
    ),
    max_leaves=12,
)
bodies = st.dictionaries(st.sampled_from(PARTS), values, max_size=12)


def unreadable(raw: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        parse(raw, PLACE)
    return caught.value.detail


def is_clean(event: Event) -> bool:
    """Return whether a value has no lone surrogate, which could not be stored or sent."""
    repr(event).encode()
    return "\ud800" not in repr(event)


@given(st.binary() | st.text().map(str.encode) | values.map(lambda value: json.dumps(value).encode()))
@example(b"")
@example(b"null")
@example(b"[]")
@example(b'{"specversion": 1}')
@example(b'{"a": 1e999}')
@example(b"9" * 5000)
@example(b"[" * 100_000)
@example(b"\xef\xbb\xbf{}")
def test_any_bytes_are_an_event_or_unreadable(raw: bytes) -> None:
    try:
        found = parse(raw, PLACE).title
    except Unreadable as error:
        found = error.detail
        assert found.isprintable()
    assert len(found) <= max(300, len(raw))


@settings(max_examples=examples(400))
@given(
    st.fixed_dictionaries(
        {
            "specversion": st.just("1.0"),
            "id": text.filter(bool),
            "source": text.filter(bool),
            "type": st.sampled_from(TYPES) | text.filter(bool),
        },
        optional={"time": values, "subject": values, "data": bodies | values, "extension": values},
    )
)
def test_any_event_with_a_valid_envelope_is_parsed(fields: dict[str, object]) -> None:
    raw = json.dumps(fields).encode()
    if str(fields["type"]).startswith("io.infrakitchen."):
        with suppress(Unreadable):
            parse(raw, PLACE)
        return
    event = parse(raw, PLACE)
    assert event.title or not str(fields["type"]).strip()
    assert is_clean(event)
    assert event.order
    assert event.subject_key


@given(st.fixed_dictionaries({"entity_type": text.map("x{}".format)}, optional={"metadata": bodies | values}), bodies)
def test_any_body_with_an_entity_type_is_parsed(fields: dict[str, object], more: dict[str, object]) -> None:
    event = parse(json.dumps(more | fields).encode(), PLACE)
    assert is_clean(event)
    assert event.id == PLACE


@given(values)
def test_parsing_twice_gives_the_same_event(data: object) -> None:
    raw = json.dumps(ENVELOPE | {"data": data}).encode()
    assert parse(raw, PLACE) == parse(raw, PLACE)


@pytest.mark.parametrize(
    ("raw", "detail"),
    [
        (b"", "line 1 column 1: Expecting value"),
        (b'{"id": 1,\n "x" 2}', "line 2 column 6: Expecting ':' delimiter"),
        (b'{"id": "\xff"}', "byte 9: not UTF-8"),
        (b"\xef\xbb\xbf[1", "line 1 column 3: Expecting ',' delimiter"),
        ('{"id": "a"}'.encode("utf-16"), "byte 1: not UTF-8 but UTF-16: send UTF-8"),
        (b'{"specversion": "0.3"}', "specversion '0.3' is not supported: send 1.0"),
        (b'{"specversion": 2}', "specversion '2' is not supported: send 1.0"),
        (b'{"specversion": {}}', "specversion '' is not supported: send 1.0"),
        (b"[{}]", "the JSON is an array, not an object"),
        (b'"text"', "the JSON is a string, not an object"),
        (b"true", "the JSON is a boolean, not an object"),
        (b"null", "the JSON is null, not an object"),
        (b"1.5", "the JSON is a number, not an object"),
        (b'{"a": NaN}', "NaN is not JSON: write a number or null"),
        (b'{"a": -Infinity}', "-Infinity is not JSON: write a number or null"),
        (b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", "nested more than 200 deep"),
        (b"[" * 100_000, "nested more than 200 deep"),
        (b'{"a": ' + b"1" * 5000 + b"}", "a number has thousands of digits"),
        (b'{"a": ' + b" " * MAX_EVENT_BYTES + b"1}", "the event has 262152 bytes; at most 262144 are accepted"),
        (b"{}", "neither a CloudEvent (specversion: missing) nor InfraKitchen's own (entity_type: missing)"),
    ],
)
def test_the_detail_names_the_fault_and_its_place(raw: bytes, detail: str) -> None:
    assert unreadable(raw) == detail


@pytest.mark.parametrize("name", ["id", "source", "type"])
@pytest.mark.parametrize("value", ["", None, 5, [], True])
def test_the_detail_names_an_attribute_that_is_not_a_text(name: str, value: object) -> None:
    assert unreadable(json.dumps(ENVELOPE | {name: value}).encode()) == f"{name}: must be a text that is not empty"


@pytest.mark.parametrize("name", ["id", "source", "type"])
def test_the_detail_names_a_missing_attribute(name: str) -> None:
    fields = {key: value for key, value in ENVELOPE.items() if key != name}
    assert unreadable(json.dumps(fields).encode()) == f"{name}: missing"


def test_an_event_of_exactly_the_size_limit_is_parsed() -> None:
    raw = json.dumps(ENVELOPE).encode()
    assert parse(raw + b" " * (MAX_EVENT_BYTES - len(raw)), PLACE).id == "1"


def test_a_very_long_id_is_not_truncated() -> None:
    assert len(parse(json.dumps(ENVELOPE | {"id": "x" * 200_000}).encode(), PLACE).id) == 200_000


def test_lone_surrogates_become_replacement_characters_everywhere() -> None:
    raw = rb'{"specversion":"1.0","id":"a\ud800","source":"s","type":"t","data":{"labels":{'
    raw += rb'"\udfff":["\ud800"]},"name":"\ud83d\ude00 \ude00","description":"x"}}'
    event = parse(raw, PLACE)
    assert event.id == "a\ufffd"
    assert event.entity.name == "\U0001f600 \ufffd"


def test_a_long_unprintable_detail_is_truncated_and_printable() -> None:
    error = Unreadable("line\x00\n" + "x" * 1000)
    assert error.detail.startswith("line\ufffd\ufffd")
    assert len(error.detail) == 300
    assert str(error) == error.detail
