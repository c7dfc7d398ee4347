"""`POST /api/v1/events`: all are in the stream, or none is and an answer says which is wrong and why."""

import json
from typing import Any

import pytest
from web_house import Web

PATH = "/api/v1/events"


def event(id_: str = "1", **more: object) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id_, "source": "/tests", "type": "some.thing"} | more


async def test_one_event_is_published_as_it_is(web: Web) -> None:
    answer = await web.ask("POST", PATH, event(data={"näme": [1, None, "\u2028"]}))
    assert answer.status == 202
    assert answer.body["ids"] == ["1"]
    assert await web.entries() == [event(data={"näme": [1, None, "\u2028"]})]


async def test_an_array_is_published_in_its_order(web: Web) -> None:
    answer = await web.ask("POST", PATH, [event(str(number)) for number in range(1000)])
    assert answer.status == 202
    assert answer.body["ids"] == [str(number) for number in range(1000)]
    assert [one["id"] for one in await web.entries()] == answer.body["ids"]
    assert answer.body["entry_ids"] == sorted(answer.body["entry_ids"], key=_order)


def _order(entry_id: str) -> tuple[int, ...]:
    return tuple(map(int, entry_id.split("-")))


async def test_an_event_without_an_id_of_its_own_has_that_of_its_entry(web: Web) -> None:
    answer = await web.ask("POST", PATH, {"entity_type": "workflow", "entity_id": "w"})
    assert answer.body["ids"] == answer.body["entry_ids"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"specversion": "1.0", "id": "x", "source": "s"}, "event 2 (x): type: missing"),
        ({}, "event 2: neither a CloudEvent"),
        ("text", "event 2: an event is a JSON object"),
    ],
)
async def test_one_that_is_wrong_is_named_and_none_is_published(web: Web, wrong: object, named: str) -> None:
    answer = await web.ask("POST", PATH, [event("a"), wrong, event("b")])
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body["errors"][0].startswith(named)
    assert answer.body["detail"].startswith(f"Nothing was published: {named}")
    assert await web.entries() == []


async def test_an_event_over_256_kib_is_413_and_none_is_published(web: Web) -> None:
    largest = event(data={"x": ""})
    room = 256 * 1024 - len(json.dumps(largest))
    assert (await web.ask("POST", PATH, event(data={"x": "x" * room}))).status == 202
    answer = await web.ask("POST", PATH, [event("2"), event("3", data={"x": "x" * (room + 1)})])
    assert answer.status == 413
    assert "event 2 (3)" in answer.body["detail"]
    assert len(await web.entries()) == 1


async def test_more_than_a_thousand_at_once_are_413(web: Web) -> None:
    assert (await web.ask("POST", PATH, [event()] * 1001)).status == 413
    assert (await web.ask("POST", PATH, [])).status == 400
    assert await web.entries() == []


async def test_very_many_faults_are_some_and_a_number(web: Web) -> None:
    answer = await web.ask("POST", PATH, [{}] * 30)
    assert (len(answer.body["errors"]), answer.body["errors"][-1]) == (11, "and 20 more")


@pytest.mark.parametrize("body", ["{", "nul", '{"a": NaN}', "[" * 1000, '"text"', "7", "null"])
async def test_what_is_no_event_at_all_is_400(web: Web, body: str) -> None:
    answer = await web.ask("POST", PATH, body, headers={"content-type": "application/json"})
    assert answer.status == 400
    assert await web.entries() == []


async def test_a_lone_surrogate_becomes_a_sign_that_can_be_stored(web: Web) -> None:
    body = '{"specversion": "1.0", "id": "\\ud800", "source": "s", "type": "t"}'
    answer = await web.ask("POST", PATH, body, headers={"content-type": "application/json"})
    assert (answer.status, answer.body["ids"]) == (202, ["\ufffd"])


async def test_cloudevents_come_as_their_own_type_too(web: Web) -> None:
    for given in ("application/cloudevents+json", "application/cloudevents-batch+json; charset=utf-8"):
        headers = {"content-type": given}
        assert (await web.ask("POST", PATH, json.dumps(event()), headers=headers)).status == 202


async def test_what_waits_in_the_stream_is_explained(web: Web) -> None:
    published = (await web.ask("POST", PATH, event("a/b c"))).body
    answer = await web.ask("GET", f"{PATH}/{published['entry_ids'][0]}")
    assert (answer.status, answer.body["state"], answer.body["event"]["id"]) == (200, "waiting", "a/b c")


async def test_an_event_nobody_knows_is_404(web: Web) -> None:
    answer = await web.ask("GET", f"{PATH}/never")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
