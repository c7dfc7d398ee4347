"""Webhooks over HTTP: what monitoring systems post is in the stream, or an answer says what is wrong."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from web_house import Web, served

from worker.domain.errors import Problem
from worker.web.webhooks import read_labelled


def alert(**fields: object) -> dict[str, Any]:
    labels = {"alertname": "DiskFull", "severity": "critical"}
    return {
        "status": "firing",
        "labels": labels,
        "startsAt": "2026-11-27T10:00:00Z",
        "fingerprint": "f1",
    } | fields


def group(*alerts: object, **fields: object) -> dict[str, object]:
    return {"version": "4", "alerts": list(alerts)} | fields


async def test_alerts_are_in_the_stream_once_they_are_accepted(web: Web) -> None:
    answer = await web.ask("POST", "/webhooks/alertmanager", group(alert(), alert(fingerprint="f2")))
    assert answer.status == 202
    assert [one[:2] for one in answer.body["ids"]] == ["f1", "f2"]
    assert [one["id"] for one in await web.entries()] == answer.body["ids"]
    assert len(answer.body["entry_ids"]) == 2


async def test_grafana_posts_to_a_path_of_its_own(web: Web) -> None:
    answer = await web.ask("POST", "/webhooks/grafana", group(alert(), version="1", orgId=1))
    assert answer.status == 202
    assert (await web.entries())[0]["source"] == "grafana"


async def test_what_is_wrong_is_said_and_the_rest_is_taken(web: Web) -> None:
    answer = await web.ask(
        "POST", "/webhooks/alertmanager", group(alert(), alert(startsAt=1), truncatedAlerts=3)
    )
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [one.split(":")[0] for one in answer.body["errors"]] == ["alerts[1].startsAt", "truncatedAlerts"]
    assert answer.body["detail"].endswith("Apart from that, 1 of the alerts that came were taken.")
    assert [one["id"] for one in await web.entries()] == answer.body["ids"]


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59-12:00", "9999-99"])
async def test_a_time_nobody_can_write_costs_only_what_it_is_of(web: Web, at: str) -> None:
    began, ended = alert(startsAt=at), alert(status="resolved", endsAt=at)
    answer = await web.ask("POST", "/webhooks/alertmanager", group(began, ended, alert()))
    assert answer.status == 400
    assert [one.split(":")[0] for one in answer.body["errors"]] == ["alerts[0].startsAt"]
    resolved, firing = await web.entries()
    assert "ends_at" not in resolved["data"]
    assert firing["type"] == "io.infrakitchen.alert.firing"


async def test_an_alert_that_is_too_large_is_named_and_not_taken(web: Web) -> None:
    big = alert(fingerprint="big", annotations={"summary": "x" * 300_000})
    answer = await web.ask("POST", "/webhooks/alertmanager", group(big, alert()))
    assert answer.status == 400
    assert "big:" in answer.body["errors"][0]
    assert len(await web.entries()) == 1


@pytest.mark.parametrize("body", ["{", "[]", "null", '{"version": "4"}', '{"version": NaN}', "\xff"])
async def test_what_is_no_webhook_is_a_clear_400(web: Web, body: str) -> None:
    answer = await web.ask(
        "POST", "/webhooks/alertmanager", body.encode("latin-1"), headers={"content-type": "application/json"}
    )
    assert (answer.status, answer.body["title"]) == (400, "Bad Request")
    assert await web.entries() == []


@pytest.mark.parametrize("given", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_only_json_that_says_so_is_read(web: Web, given: str) -> None:
    headers = {"content-type": given} if given else {}
    answer = await web.ask("POST", "/webhooks/alertmanager", b"{}", headers=headers)
    assert answer.status == 415
    assert "application/json" in answer.body["detail"]


async def test_a_body_over_8_mib_is_refused(web: Web) -> None:
    for body in (BytesIO(b"x" * (8 * 1024 * 1024 + 1)), _in_parts(b"x" * 1024 * 1024, 9)):
        async with web.client.post(
            "/webhooks/alertmanager", data=body, headers={"content-type": "application/json"}
        ) as answer:
            assert answer.status == 413
            assert (await answer.json())["title"] in ("Content Too Large", "Request Entity Too Large")


async def _in_parts(part: bytes, times: int) -> Any:
    for _ in range(times):
        yield part


async def test_without_redis_it_is_a_503_that_says_what_to_do(web: Web) -> None:
    web.redis.connected = False
    answer = await web.ask("POST", "/webhooks/alertmanager", group(alert()))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert answer.body["detail"] == "Redis does not answer. Start it, or correct REDIS_URL."


async def test_labels_are_read_by_the_file_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "labels.yaml"
    file.write_text("severities: {critical: info}\n")
    async with served(alert_labels=str(file)) as web:
        await web.ask("POST", "/webhooks/alertmanager", group(alert()))
        assert (await web.entries())[0]["data"]["severity"] == "info"


def test_a_wrong_file_of_labels_is_one_line_at_start(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"^ALERT_LABELS: .*none.yaml cannot be read: No such file"):
        read_labelled(tmp_path / "none.yaml")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("severety: x")
    with pytest.raises(Problem, match="severety"):
        read_labelled(wrong)
