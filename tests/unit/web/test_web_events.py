"""`POST /api/v1/events`: all events are in the stream, or none is and the response names the wrong ones."""

import asyncio
import json
from typing import Any

import pytest
from support.web import STARTUP_KEY, Web

PATH = "/api/v1/events"


def event(id_: str = "1", **more: object) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id_, "source": "/tests", "type": "some.thing"} | more


async def test_one_event_is_published_unchanged(web: Web) -> None:
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


async def test_an_event_without_an_id_gets_that_of_its_entry(web: Web) -> None:
    answer = await web.ask("POST", PATH, {"entity_type": "workflow", "entity_id": "w"})
    assert answer.body["ids"] == answer.body["entry_ids"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"specversion": "1.0", "id": "x", "source": "s"}, "event 2 (x): type: missing"),
        ({}, "event 2: neither a CloudEvent"),
        ("text", "event 2: an event is a JSON object"),
        (event("v", specversion="0.3"), "event 2 (v): specversion '0.3' is not supported: send 1.0"),
        (event("d", type="io.infrakitchen.alert.firing"), "event 2 (d): data: missing: it names what an event"),
    ],
)
async def test_one_wrong_event_is_named_and_no_event_is_published(web: Web, wrong: object, named: str) -> None:
    answer = await web.ask("POST", PATH, [event("a"), wrong, event("b")])
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.body["errors"][0].startswith(named)
    assert answer.body["detail"].startswith(f"Nothing was published: {named}")
    assert await web.entries() == []


async def test_an_event_over_256_kib_is_413_and_no_event_is_published(web: Web) -> None:
    largest = event(data={"x": ""})
    room = 256 * 1024 - len(json.dumps(largest))
    assert (await web.ask("POST", PATH, event(data={"x": "x" * room}))).status == 202
    answer = await web.ask("POST", PATH, [event("2"), event("3", data={"x": "x" * (room + 1)})])
    assert answer.status == 413
    assert "event 2 (3)" in answer.body["detail"]
    assert len(await web.entries()) == 1


async def test_more_than_a_thousand_events_are_413(web: Web) -> None:
    assert (await web.ask("POST", PATH, [event()] * 1001)).status == 413
    assert await web.entries() == []


@pytest.mark.parametrize("content_type", ["application/json", "application/cloudevents-batch+json"])
async def test_an_empty_array_is_published_without_an_event(web: Web, content_type: str) -> None:
    answer = await web.ask("POST", PATH, "[]", headers={"content-type": content_type})
    assert (answer.status, answer.body) == (202, {"ids": [], "entry_ids": []})
    assert await web.entries() == []


async def test_many_faults_are_listed_in_part_with_the_number_of_the_rest(web: Web) -> None:
    answer = await web.ask("POST", PATH, [{}] * 30)
    assert (len(answer.body["errors"]), answer.body["errors"][-1]) == (11, "and 20 more")


@pytest.mark.parametrize("body", ["{", "nul", '{"a": NaN}', "[" * 1000, '"text"', "7", "null"])
async def test_a_body_without_an_event_is_400(web: Web, body: str) -> None:
    answer = await web.ask("POST", PATH, body, headers={"content-type": "application/json"})
    assert answer.status == 400
    assert await web.entries() == []


async def test_a_lone_surrogate_is_replaced(web: Web) -> None:
    body = '{"specversion": "1.0", "id": "\\ud800", "source": "s", "type": "t"}'
    answer = await web.ask("POST", PATH, body, headers={"content-type": "application/json"})
    assert (answer.status, answer.body["ids"]) == (202, ["\ufffd"])


async def test_the_content_types_of_cloudevents_are_accepted(web: Web) -> None:
    for given in ("application/cloudevents+json", "application/cloudevents-batch+json; charset=utf-8"):
        headers = {"content-type": given}
        assert (await web.ask("POST", PATH, json.dumps(event()), headers=headers)).status == 202


async def test_an_unread_entry_is_explained(web: Web) -> None:
    published = (await web.ask("POST", PATH, event("a/b c"))).body
    answer = await web.ask("GET", f"{PATH}/{published['entry_ids'][0]}")
    assert (answer.status, answer.body["state"], answer.body["event"]["id"]) == (200, "waiting", "a/b c")


async def test_an_unknown_event_is_404(web: Web) -> None:
    answer = await web.ask("GET", f"{PATH}/never")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")


BINARY = {"ce-specversion": "1.0", "ce-type": "com.example.x", "ce-id": "bin1", "ce-source": "/x"}


@pytest.mark.parametrize(
    ("content_type", "body", "data"),
    [
        ("application/json; charset=utf-8", b'{"name": "DiskFull"}', {"data": {"name": "DiskFull"}}),
        ("application/vnd.thing+json", b"\xef\xbb\xbf[1]", {"data": [1]}),
        ("text/plain", "grüße".encode(), {"data": "grüße"}),
        ("text/plain; charset=latin-1", "grüße".encode("latin-1"), {"data": "grüße"}),
        ("application/xml", b"<order/>", {"data": "<order/>"}),
        ("image/png", b"\x89PNG\0", {"data_base64": "iVBORwA="}),
        ("text/plain", b"", {}),
    ],
)
async def test_the_body_of_an_event_in_binary_mode_is_its_data(
    web: Web, content_type: str, body: bytes, data: dict[str, object]
) -> None:
    answer = await web.ask("POST", PATH, body, headers=BINARY | {"content-type": content_type})
    assert (answer.status, answer.body["ids"]) == (202, ["bin1"])
    attributes = {"specversion": "1.0", "type": "com.example.x", "id": "bin1", "source": "/x"}
    assert await web.entries() == [attributes | {"datacontenttype": content_type} | data]


async def test_the_attributes_of_an_event_in_binary_mode_are_decoded(web: Web) -> None:
    headers = {
        **BINARY, "CE-Subject": "Gr%C3%BC%C3%9Fe%20%25", "ce-source": '"a \\"b\\" c"', "ce-data": "not read",
        "ce-traceparent": "00-1", "ce-id": "日", "content-type": "text/plain",
    }  # fmt: skip
    assert (await web.ask("POST", PATH, "text", headers=headers)).status == 202
    (entry,) = await web.entries()
    assert (entry["subject"], entry["source"], entry["id"]) == ("Grüße %", 'a "b" c', "日")
    assert (entry["traceparent"], entry["data"]) == ("00-1", "text")


@pytest.mark.parametrize(
    ("changed", "body", "detail"),
    [
        ({"ce-specversion": None}, b"{}", "ce-specversion: missing"),
        ({"ce-specversion": "0.3"}, b"{}", "specversion '0.3' is not supported"),
        ({"ce-type": None}, b"{}", "type: missing"),
        ({"ce-type": "io.infrakitchen.alert.firing"}, b"{}", "must name what an event"),
        ({}, b"{", "The body is not JSON: line 1"),
    ],
)
async def test_a_wrong_event_in_binary_mode_is_refused(
    web: Web, changed: dict[str, str | None], body: bytes, detail: str
) -> None:
    headers = {name: value for name, value in (BINARY | changed).items() if value is not None}
    answer = await web.ask("POST", PATH, body, headers=headers | {"content-type": "application/json"})
    assert (answer.status, detail in answer.body["detail"]) == (400, True)
    assert await web.entries() == []


async def test_a_structured_event_with_headers_of_the_binary_mode_is_structured(web: Web) -> None:
    headers = BINARY | {"content-type": "application/cloudevents+json"}
    assert (await web.ask("POST", PATH, json.dumps(event("s")), headers=headers)).body["ids"] == ["s"]


async def test_a_byte_order_mark_is_accepted_and_utf_16_is_refused(web: Web) -> None:
    json_type = {"content-type": "application/json"}
    assert (
        await web.ask("POST", PATH, b"\xef\xbb\xbf" + json.dumps(event()).encode(), headers=json_type)
    ).status == 202
    answer = await web.ask("POST", PATH, json.dumps(event()).encode("utf-16"), headers=json_type)
    assert (answer.status, answer.body["detail"]) == (
        400,
        "The body is not JSON: byte 1: not UTF-8 but UTF-16: send UTF-8.",
    )


@pytest.mark.parametrize("path", [PATH, "/webhooks/alertmanager", "/api/v1/preview"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP, identity"])
async def test_a_compressed_body_is_415_with_the_accepted_encoding(web: Web, path: str, encoding: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    answer = await web.ask("POST", path, b"\x1f\x8b\x08", headers=headers)
    assert (answer.status, answer.headers["Accept-Encoding"]) == (415, "identity")
    assert answer.body["detail"] == f"The body is compressed ({encoding.lower()}): send it without Content-Encoding."


async def test_a_body_with_the_encoding_identity_is_accepted(web: Web) -> None:
    headers = {"content-type": "application/json", "content-encoding": "identity"}
    assert (await web.ask("POST", PATH, json.dumps(event()), headers=headers)).status == 202


@pytest.mark.parametrize("path", [PATH, "/webhooks/grafana", "/api/v1/subscriptions"])
@pytest.mark.parametrize("sent", [b"", b'{"specversion": "1.0"'])
async def test_a_client_that_hangs_up_leaves_no_error_in_the_log(
    web: Web, path: str, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    host, port = "127.0.0.1", int(str(web.client._base_url).rpartition(":")[2])
    _, writer = await asyncio.open_connection(host, port)
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {STARTUP_KEY}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 999\r\n\r\n"
    writer.write(head.encode() + sent)
    await writer.drain()
    writer.close()
    async with asyncio.timeout(5):
        while not (audited := [record for record in caplog.records if record.name == "worker.audit"]):
            await asyncio.sleep(0.01)
    assert (await web.ask("GET", "/healthz")).status == 200
    assert [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []
    assert audited[0].outcome == "refused"
    assert await web.entries() == []


async def test_an_entity_event_is_refused_without_its_secrets(web: Web) -> None:
    entity = {"_entity_name": "resource", "id": "r1", "variables": [{"name": "token", "value": "hunter2"}]}
    answer = await web.ask("POST", PATH, [entity])
    assert (answer.status, await web.entries()) == (400, [])
    assert "entity event" in answer.body["detail"]
    assert "hunter2" not in json.dumps(answer.body)


@pytest.mark.parametrize("path", [PATH, "/webhooks/grafana", "/api/v1/preview", "/api/v1/subscriptions"])
@pytest.mark.parametrize("levels", [600, 5_000, 100_000])
async def test_json_that_is_nested_too_deep_is_400(web: Web, path: str, levels: int) -> None:
    for body in ("[" * levels + "]" * levels, '{"data":' * levels + "1" + "}" * levels):
        answer = await web.ask("POST", path, body, headers={"content-type": "application/json"})
        assert (answer.status, "deep" in answer.body["detail"]) == (400, True)
