"""Hostile templates in a running installation: no other request waits, and each is switched off and reported."""

import asyncio
import time

import pytest
from aiohttp import ClientSession
from support.events import numbered_alert
from support.hostile_templates import HOSTILE
from support.installation import Installation, until
from test_api import Api

from worker.local_machine import free_port

TOKEN = "a-token-of-the-tests-that-is-not-guessed"
ANSWER_S = 0.5
AT_ONCE = 4


@pytest.mark.thorough
@pytest.mark.slow
async def test_the_web_process_answers_at_once_while_it_is_asked_for_previews_of_hostile_templates(
    fast: Installation,
) -> None:
    port = free_port()
    web = fast.start("web", ("ik-slack", "web"), WEB_PORT=str(port), API_TOKEN=TOKEN)
    api = Api(port, TOKEN)
    await until(api.lives, "the web process lives")
    durations: list[float] = []
    pending, statuses = list(HOSTILE), set[int]()

    async def preview() -> None:
        while pending:
            body = {"events": [numbered_alert(1)], "template": pending.pop()}
            async with session.post("/api/v1/preview", json=body) as answer:
                statuses.add(answer.status)

    async def measure() -> None:
        while pending:
            started = time.monotonic()
            async with session.get("/healthz") as answer:
                assert answer.status == 200
            durations.append(time.monotonic() - started)
            await asyncio.sleep(0.05)  # the time between two requests, not a wait for something

    headers = {"authorization": f"Bearer {TOKEN}"}
    async with ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
        await asyncio.gather(measure(), *(preview() for _ in range(AT_ONCE)))
    assert len(durations) > len(HOSTILE)
    assert max(durations) < ANSWER_S
    assert statuses <= {200, 409, 422}
    assert "Traceback" not in web.log


@pytest.mark.slow
async def test_a_template_that_hangs_for_one_event_is_switched_off_and_said_and_delays_no_other_channel(
    fast: Installation,
) -> None:
    for name in ("ops", "db", "operations"):
        fast.workspace.add_channel(name)
    fast.environment["OPERATIONS_CHANNEL"] = "#operations"
    hangs = "{% if labels.odd %}{{ [[[[title] * 4000] * 4000] * 4000] * 4000 }}{% endif %}own: {{ title }}"
    await fast.connect("db", rules=[{"id": "sub-1", "destination": "#ops", "project": "ops", "template": hangs}])
    await fast.running(fast.ingest(), fast.worker())
    await fast.publish(numbered_alert(1, project="ops", labels={"odd": "yes"}), numbered_alert(2, project="db"))
    await fast.settled(2)
    assert "is switched off: it takes too much time" in str(fast.messages("#ops"))
    assert len(fast.messages("#db")) == 1
    await until(lambda: fast.messages("#operations"), "the operations channel is told")
    assert "The template of subscription sub-1 is switched off" in str(fast.messages("#operations"))
    status = await fast.asked("status")
    assert (status["health"], len(status["reasons"])) == ("attention", 1)
    await fast.publish(numbered_alert(3, project="ops"))
    await fast.settled(4)
    assert "own:" not in str(fast.messages("#ops"))
    resumed = await fast.cli("subscriptions", "resume", "sub-1")
    assert resumed.code == 0
    await fast.publish(numbered_alert(4, project="ops"))
    await fast.settled(5)
    assert "own: evt-4" in str(fast.messages("#ops"))
    assert (await fast.asked("status"))["health"] == "ok"
