"""The schemas of events hold: their examples are valid, and what they allow is an event that the worker reads."""

import json
import re
import runpy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from support.examples import examples

from worker.sources import Unreadable, parse
from worker.sources.fields import EventData

DOCS = Path(__file__).parents[1] / "docs"
module = runpy.run_path(str(DOCS / "event_schemas.py"), run_name="event_schemas")
EVENTS, SCHEMAS = module["EVENTS"], module["SCHEMAS"]


def example(name: str) -> dict[str, object]:
    value = json.loads((DOCS / "schemas" / "examples" / f"{name}.json").read_text())
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("name", SCHEMAS)
def test_an_example_is_valid(name: str) -> None:
    Draft7Validator.check_schema(SCHEMAS[name])
    Draft7Validator(SCHEMAS[name], format_checker=Draft7Validator.FORMAT_CHECKER).validate(example(name))


@pytest.mark.parametrize("name", EVENTS)
def test_an_example_is_valid_for_no_other_kind_of_event(name: str) -> None:
    valid = {other for other in EVENTS if Draft7Validator(EVENTS[other]).is_valid(example(name))}
    assert valid == ({name} if name in {"other", "notification"} else {name, "other"})


@pytest.mark.parametrize("name", module["DATA"])
def test_an_example_has_most_fields_and_each_is_read(name: str) -> None:
    data = example(name)["data"]
    assert isinstance(data, dict)
    assert data.keys() <= set(module["DATA"][name].split())
    assert len(data) >= len(module["DATA"][name].split()) - 4
    read = EventData.model_validate(data)
    assert [field for field in data if not getattr(read, field)] == []


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=20), st.just("2026-11-03T09:14:07Z"))
JSON = st.one_of(
    SCALARS,
    st.lists(SCALARS | st.dictionaries(st.sampled_from(["name", "label", "url", "position"]), SCALARS), max_size=3),
    st.dictionaries(st.text(max_size=5) | st.sampled_from(["name", "email"]), SCALARS, max_size=3),
)


@pytest.mark.parametrize("name", EVENTS)
@settings(max_examples=examples(20))
@given(data=st.data())
def test_what_a_schema_allows_is_read_as_its_kind(name: str, data: st.DataObject) -> None:
    event = example(name)
    part = event.get("data") if name in module["DATA"] else event
    assert isinstance(part, dict)
    for field in data.draw(st.lists(st.sampled_from(sorted(part)), max_size=3, unique=True)):
        part[field] = data.draw(JSON)
    if not Draft7Validator(EVENTS[name]).is_valid(event):
        return
    read = parse(json.dumps(event).encode(), "1700000000000-0")
    assert name not in module["DATA"] or read.kind == name


@pytest.mark.parametrize("name", ["workflow", "resource", "alert"])
def test_an_event_that_names_nothing_is_neither_valid_nor_read(name: str) -> None:
    event = {**example(name), "data": {}}
    assert not Draft7Validator(EVENTS[name]).is_valid(event)
    with pytest.raises(Unreadable):
        parse(json.dumps(event).encode(), "1700000000000-0")


def test_the_schemas_have_the_fields_of_the_page_of_events() -> None:
    rows = re.findall(r"^\| `io\.\S+.*?\| `(\w+)` \| (.*) \|$", (DOCS / "events.md").read_text(), re.MULTILINE)
    assert {kind: set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", fields))) for kind, fields in rows} == {
        kind: set(names.split()) - ({"action"} if kind == "resource" else set())
        for kind, names in module["DATA"].items()
    }


def test_the_messages_of_the_stream_are_the_events() -> None:
    document = module["asyncapi"]()
    messages = document["components"]["messages"]
    assert messages.keys() == EVENTS.keys() == document["channels"]["events"]["messages"].keys()
    files = [message["payload"]["schema"]["$ref"] for message in messages.values()]
    assert [file for file in files if not (DOCS / "schemas" / file).is_file()] == []
