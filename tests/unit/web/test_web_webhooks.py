"""Webhooks over HTTP: alerts are in the stream, or the response names what is wrong."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from support.web import Web, serve_web

from worker.domain.errors import UserError
from worker.services.publishing import convert_bodies, load_label_mapping
from worker.sources import LabelMapping

SAMPLES = Path(__file__).parents[2] / "samples" / "monitoring"


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


async def test_accepted_alerts_are_in_the_stream(web: Web) -> None:
    answer = await web.ask("POST", "/webhooks/alertmanager", group(alert(), alert(fingerprint="f2")))
    assert answer.status == 202
    assert [one[:2] for one in answer.body["ids"]] == ["f1", "f2"]
    assert [one["id"] for one in await web.entries()] == answer.body["ids"]
    assert len(answer.body["entry_ids"]) == 2


async def test_grafana_has_a_webhook_path_of_its_own(web: Web) -> None:
    answer = await web.ask("POST", "/webhooks/grafana", group(alert(), version="1", orgId=1))
    assert answer.status == 202
    assert (await web.entries())[0]["source"] == "grafana"


async def test_an_alert_that_cannot_be_read_is_named_and_the_others_are_accepted(web: Web) -> None:
    answer = await web.ask("POST", "/webhooks/alertmanager", group(alert(), alert(startsAt=1)))
    assert answer.status == 202, "a refusal keeps Alertmanager from sending that the accepted alert is resolved"
    assert [one.split(":")[0] for one in answer.body["errors"]] == ["alerts[1].startsAt"]
    assert [one["id"] for one in await web.entries()] == answer.body["ids"]


async def test_a_webhook_without_a_readable_alert_is_refused(web: Web) -> None:
    answer = await web.ask("POST", "/webhooks/alertmanager", group(alert(startsAt=1), truncatedAlerts=3))
    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert [one.split(":")[0] for one in answer.body["errors"]] == ["alerts[0].startsAt", "truncatedAlerts"]
    assert answer.body["detail"].endswith("No alert was published.")
    assert await web.entries() == []


async def test_alerts_that_were_left_out_are_one_event_that_counts_them(web: Web) -> None:
    for _ in range(2):
        answer = await web.ask("POST", "/webhooks/alertmanager", group(alert(), truncatedAlerts=3, groupKey="{}:{}"))
        assert answer.status == 202
    (firing, left_out), again = (await web.entries())[:2], (await web.entries())[2:]
    assert left_out["type"] == "io.infrakitchen.alert.left_out"
    assert left_out["data"]["title"] == "Alertmanager left out 3 alerts of this group"
    assert "`max_alerts: 0`" in left_out["data"]["summary"]
    assert [one["id"] for one in again] == [firing["id"], left_out["id"]], "sent again, it is a repeat"


async def test_faults_are_counted_by_system_and_reason(web: Web) -> None:
    big = alert(fingerprint="big", annotations={"summary": "x" * 300_000})
    await web.ask("POST", "/webhooks/alertmanager", group(big, alert(), alert(labels={}), truncatedAlerts=3))
    await web.ask("POST", "/webhooks/grafana", group(alert(labels={}), version="1"))
    counts = (await web.app.metrics.get_totals()).labelled("webhook_faults")
    assert counts == {
        ("alertmanager", "truncated"): 3, ("alertmanager", "unreadable"): 1, ("alertmanager", "cut"): 1,
        ("grafana", "unreadable"): 1,
    }  # fmt: skip
    metrics = await web.ask("GET", "/metrics")
    assert 'ikslack_webhook_faults_total{reason="truncated",source="alertmanager"} 3.0' in metrics.body


async def test_many_faults_are_ten_and_the_number_of_the_others(web: Web) -> None:
    answer = await web.ask("POST", "/webhooks/grafana", group(*["text"] * 25, version="1"))
    assert (len(answer.body["errors"]), answer.body["errors"][-1]) == (11, "and 15 more")


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59-12:00", "9999-99"])
async def test_an_invalid_time_rejects_only_its_own_alert_or_field(web: Web, at: str) -> None:
    began, ended = alert(startsAt=at), alert(status="resolved", endsAt=at)
    answer = await web.ask("POST", "/webhooks/alertmanager", group(began, ended, alert()))
    assert answer.status == 202
    assert [one.split(":")[0] for one in answer.body["errors"]] == ["alerts[0].startsAt"]
    resolved, firing = await web.entries()
    assert "ends_at" not in resolved["data"]
    assert firing["type"] == "io.infrakitchen.alert.firing"


@pytest.mark.parametrize(
    "fields",
    [
        {"annotations": {"summary": "x" * 300_000, "description": "short"}},
        {"annotations": {f"a{number}": "👩" * 8_000 for number in range(9)}},
        {"annotations": {f"a{number}": '"' * 2_000 for number in range(150)}},
        {"labels": {"alertname": "x" * 300_000, "y" * 300_000: "y"}},
        {"labels": {f"l{number}": "x" for number in range(50_000)}},
        {"fingerprint": "f" * 300_000, "generatorURL": "https://prom.example/" + "x" * 300_000},
    ],
)
async def test_an_alert_that_is_too_large_is_cut(web: Web, fields: dict[str, object]) -> None:
    answer = await web.ask("POST", "/webhooks/alertmanager", group(alert(**fields), alert(fingerprint="small")))
    assert answer.status == 202
    assert "cut" in answer.body["errors"][0]
    assert len(await web.entries()) == 2


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("*.alertmanager.json")) + sorted(SAMPLES.glob("*.grafana.json")))
async def test_a_file_with_a_body_makes_the_events_of_its_webhook(web: Web, sample: Path) -> None:
    answer = await web.ask("POST", f"/webhooks/{sample.suffixes[-2][1:]}", json.loads(sample.read_text()))
    assert answer.status == 202
    read = convert_bodies([json.loads(sample.read_text())], LabelMapping())
    assert [json.loads(raw) for raw in read.events] == await web.entries()


async def test_the_name_of_the_installation_is_the_source(web: Web) -> None:
    body = group(alert(), externalURL="https://am.example/")
    await web.ask("POST", "/webhooks/alertmanager?source=cluster-a", body)
    await web.ask("POST", "/webhooks/alertmanager", body)
    assert [one["source"] for one in await web.entries()] == ["cluster-a", "https://am.example"]


@pytest.mark.parametrize("body", ["{", "[]", "null", '{"version": "4"}', '{"version": NaN}', "\xff"])
async def test_a_body_that_is_not_a_webhook_is_400_with_the_reason(web: Web, body: str) -> None:
    answer = await web.ask(
        "POST", "/webhooks/alertmanager", body.encode("latin-1"), headers={"content-type": "application/json"}
    )
    assert (answer.status, answer.body["title"]) == (400, "Bad Request")
    assert await web.entries() == []


@pytest.mark.parametrize("given", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_only_the_content_type_of_json_is_accepted(web: Web, given: str) -> None:
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


async def test_without_redis_a_webhook_is_503_with_the_fix(web: Web) -> None:
    web.redis.connected = False
    answer = await web.ask("POST", "/webhooks/alertmanager", group(alert()))
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert answer.body["detail"] == "Redis does not answer. Start it, or correct REDIS_URL."


async def test_the_label_mapping_of_the_settings_is_used(tmp_path: Path) -> None:
    file = tmp_path / "labels.yaml"
    file.write_text("severities: {critical: info}\n")
    async with serve_web(alert_labels=str(file)) as web:
        await web.ask("POST", "/webhooks/alertmanager", group(alert()))
        assert (await web.entries())[0]["data"]["severity"] == "info"


def test_an_invalid_label_mapping_is_one_line_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^ALERT_LABELS: .*none.yaml cannot be read: No such file"):
        load_label_mapping(tmp_path / "none.yaml")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("severety: x")
    with pytest.raises(UserError, match="severety"):
        load_label_mapping(wrong)
