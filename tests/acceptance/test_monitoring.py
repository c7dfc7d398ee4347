"""A real Alertmanager sends real alerts: firing and resolved are one card in Slack."""

import asyncio
import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession
from support.installation import Installation, Program, until
from test_api import Api

from worker.local_machine import free_port

ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
CONFIG = """
route:
  receiver: ik-slack
  group_by: [alertname]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1s
receivers:
  - name: ik-slack
    webhook_configs:
      - url: http://127.0.0.1:{port}/webhooks/alertmanager
        max_alerts: {max_alerts}
        http_config:
          authorization:
            credentials: {token}
"""
TOKEN = "a-token-of-the-tests"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(ALERTMANAGER is None, reason="prometheus-alertmanager is not installed"),
]


class Alertmanager:
    """One of a pair or alone, on ports of its own."""

    def __init__(self, installation: Installation, web_port: int, name: str, max_alerts: int = 0) -> None:
        self.port = free_port()
        config = installation.directory / f"{name}.yml"
        config.write_text(CONFIG.format(port=web_port, token=TOKEN, max_alerts=max_alerts))
        self.program: Program = installation.start(
            name,
            (
                str(ALERTMANAGER),
                f"--config.file={config}",
                f"--storage.path={installation.directory / name}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
                "--web.external-url=https://alertmanager.example.com",
                "--web.route-prefix=/",
            ),
        )

    async def get(self, path: str) -> Any:
        async with ClientSession(f"http://127.0.0.1:{self.port}") as session, session.get(path) as answer:
            return await answer.text() if answer.status == 200 else None

    async def ready(self) -> None:
        async def answers() -> bool:
            try:
                return await self.get("/-/ready") is not None
            except OSError:
                return False

        await until(answers, "Alertmanager is ready")

    async def send(self, began: datetime, ended: datetime | None = None, hosts: tuple[str, ...] = ("a",)) -> None:
        """Send an alert for each host, as Prometheus does it."""
        alerts = [
            {
                "labels": {"alertname": "evt-1", "severity": "page", "project": "ops", "host": host},
                "annotations": {"summary": "the disk is nearly full"},
                "startsAt": began.isoformat(),
                **({"endsAt": ended.isoformat()} if ended else {}),
            }
            for host in hosts
        ]
        async with (
            ClientSession(f"http://127.0.0.1:{self.port}") as session,
            session.post("/api/v2/alerts", json=alerts) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def notified(self, times: int) -> None:
        """Until it has told us so often, each time with success."""

        async def so_often() -> bool:
            lines = (await self.get("/metrics")).splitlines()
            counts = dict(line.rsplit(" ", 1) for line in lines if 'integration="webhook"' in line)
            failed = [line for line in counts if "failed_total" in line and float(counts[line])]
            assert failed == []
            return float(counts['alertmanager_notifications_total{integration="webhook"}']) >= times

        await until(so_often, f"{times} webhooks were sent", most_s=40)


async def test_a_firing_and_a_resolution_of_a_real_alertmanager_are_one_card(fast: Installation) -> None:
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    port = free_port()
    web = fast.start("web", ("ik-slack", "web"), WEB_PORT=str(port), API_TOKEN=TOKEN)
    ingest, worker = fast.ingest(), fast.worker()
    pair = [Alertmanager(fast, port, name) for name in ("alertmanager-a", "alertmanager-b")]
    await until(Api(port, TOKEN).lives, "the web process lives")
    await fast.running(ingest, worker)
    await asyncio.gather(*(one.ready() for one in pair))

    began = datetime.now(UTC) - timedelta(seconds=30)
    for one in pair:
        await one.send(began)
        await one.notified(2)
    await fast.settled(1)
    for one in pair:
        await one.send(began, datetime.now(UTC))
    await fast.settled(2)

    messages = fast.messages("ops")
    cards = [message for message in messages if message.get("thread_ts") in (None, message["ts"])]
    assert len(cards) == 1, cards
    shown = json.dumps(cards[0])
    assert "evt-1" in shown
    assert "resolved" in shown.lower()
    assert "firing" not in shown.lower()
    balance = await fast.balance()
    assert (balance.accepted, balance.delivered + balance.merged, balance.rejected) == (2, 2, 0)
    assert balance.repeats_ignored >= 3
    assert TOKEN not in web.log


@pytest.mark.thorough
async def test_a_truncated_group_is_reported_and_later_resolved(fast: Installation) -> None:
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    port = free_port()
    fast.start("web", ("ik-slack", "web"), WEB_PORT=str(port), API_TOKEN=TOKEN)
    ingest, worker = fast.ingest(), fast.worker()
    alertmanager = Alertmanager(fast, port, "alertmanager", max_alerts=2)
    await until(Api(port, TOKEN).lives, "the web process lives")
    await fast.running(ingest, worker)
    await alertmanager.ready()

    began = datetime.now(UTC) - timedelta(seconds=30)
    await alertmanager.send(began, hosts=("a",))
    await fast.settled(1)
    await alertmanager.send(began, hosts=("a", "b", "c"))
    await alertmanager.notified(2)
    await fast.settled(3)
    left_out = [message for message in fast.messages("ops") if "left out 1 alert" in json.dumps(message)]
    assert len(left_out) == 1
    assert "max_alerts: 0" in json.dumps(left_out)
    await alertmanager.send(began, datetime.now(UTC), hosts=("a", "b", "c"))
    await fast.settled(6)

    cards = [message for message in fast.messages("ops") if "host=a" in json.dumps(message)]
    assert "🟢" in json.dumps(cards[0], ensure_ascii=False), "the card is resolved"
    balance = await fast.balance()
    assert (balance.rejected, balance.dead) == (0, 0)
