"""The API of a running installation says what the command line says, and does what it does."""

from typing import Any

import pytest
from aiohttp import ClientError, ClientSession
from support.events import numbered_alert
from support.installation import Installation, until

from worker.local_machine import free_port


class Api:
    """Asks the web process with a named token."""

    def __init__(self, port: int, token: str) -> None:
        self._base, self.token = f"http://127.0.0.1:{port}", token
        self._headers = {"authorization": f"Bearer {token}"}

    async def __call__(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        async with ClientSession(self._base, headers=self._headers) as session:
            given = {} if body is None else {"json": body}
            async with session.request(method, path, **given) as answer:
                return answer.status, await answer.json()

    async def lives(self) -> bool:
        try:
            return (await self("GET", "/healthz"))[0] == 200
        except ClientError:
            return False

    async def get(self, path: str) -> Any:
        status, body = await self("GET", f"/api/v1/{path}")
        assert status == 200, body
        return body

    async def rows(self, path: str) -> list[dict[str, Any]]:
        """All of a list, two rows at a time."""
        rows: list[dict[str, Any]] = []
        sign = "&" if "?" in path else "?"
        page = await self.get(f"{path}{sign}limit=2")
        while True:
            assert len(page["rows"]) <= 2
            rows += page["rows"]
            if page["next"] is None:
                return rows
            after = page["next"].replace("#", "%23").replace("&", "%26")
            page = await self.get(f"{path}{sign}limit=2&after={after}")


async def started(installation: Installation) -> Api:
    added = await installation.cli("api-tokens", "add", "tests")
    assert added.code == 0, added
    port = free_port()
    installation.start("web", ("ik-slack", "web"), WEB_PORT=str(port))
    api = Api(port, added.out.strip())
    await until(api.lives, "the web process lives")
    return api


async def storied(installation: Installation, api: Api) -> None:
    """Told, parked, dead, unreadable, and for nobody; all published over HTTP but what it would refuse."""
    installation.workspace.add_channel("ops")
    installation.workspace.add_channel("closed", member=False)
    await installation.connect("#ops", "#closed")
    await installation.running(installation.ingest(), installation.worker())
    assert (await api("POST", "/api/v1/events", numbered_alert(1)))[0] == 202
    await installation.settled(1)
    installation.sandbox.fault("invalid_blocks", times=2)
    assert (await api("POST", "/api/v1/events", numbered_alert(2)))[0] == 202

    async def dead() -> bool:
        return (await installation.balance()).dead == 1

    await until(dead, "one is dead")
    several = [numbered_alert(3, "closed"), numbered_alert(4, "closed"), numbered_alert(5, "nobody"), numbered_alert(1)]
    status, body = await api("POST", "/api/v1/events", several)
    assert (status, body["ids"]) == (202, ["evt-3", "evt-4", "evt-5", "evt-1"])
    await installation.publish(b"{")

    async def all_there() -> bool:
        now = await installation.balance()
        return (now.parked, now.rejected, now.suppressed, now.repeats_ignored) == (2, 1, 1, 1)

    await until(all_there, "two are parked, one is unreadable, one is for nobody, one is a repeat")


@pytest.mark.thorough
@pytest.mark.slow
async def test_every_list_of_the_api_equals_the_json_of_its_command(fast: Installation) -> None:
    api = await started(fast)
    await storied(fast, api)
    assert await api.get("ledger") == await fast.asked("ledger")
    for noun in ("deliveries", "dead-letters", "parked"):
        assert await api.rows(noun) == await fast.asked(noun, "list"), noun
    assert await api.rows("deliveries?state=parked") == await fast.asked("deliveries", "list", "--state", "parked")
    assert await api.rows("deliveries?event=evt-1") == await fast.asked("deliveries", "list", "--event", "evt-1")
    for noun in ("subscriptions", "integrations"):
        assert (await api.get(noun))["rows"] == await fast.asked(noun, "list"), noun
    for noun, key in (
        ("deliveries", "id"),
        ("dead-letters", "id"),
        ("subscriptions", "id"),
        ("integrations", "name"),
    ):
        rows = (await api.get(noun))["rows"]
        for row in (rows[0], rows[-1]):
            assert await api.get(f"{noun}/{row[key]}") == await fast.asked(noun, "show", row[key]), noun
    for event_id in ("evt-1", "evt-2", "evt-3", "evt-5"):
        assert await api.get(f"events/{event_id}") == await fast.asked("explain", event_id)
    channels = sorted(await fast.asked("channels", "list"), key=lambda one: one["name"])
    assert await api.rows("channels") == channels
    checks = [row["check"] for row in (await api.get("doctor"))["rows"]]
    assert {"Redis", "ledger"} <= set(checks)


@pytest.mark.slow
async def test_dead_letters_are_replayed_and_lanes_resumed_over_http(fast: Installation) -> None:
    api = await started(fast)
    await storied(fast, api)
    letters = await api.rows("dead-letters")
    delivery, entry = (
        next(one["id"] for one in letters if ("-" in one["id"]) is is_entry) for is_entry in (False, True)
    )
    status, replayed = await api("POST", "/api/v1/dead-letters/replay", {"ids": [delivery, "nothing"]})
    assert status == 200
    assert [one["outcome"] for one in replayed["results"]] == ["done", "unknown"]
    status, gone = await api("POST", "/api/v1/dead-letters/discard", {"reason": "unreadable"})
    assert [one["id"] for one in gone["results"]] == [entry]

    fast.workspace.invite("closed")
    status, resumed = await api("POST", "/api/v1/parked/resume", {"lane": "#closed"})
    assert status == 200, resumed
    balance = await fast.settled(4)
    assert (balance.dead, balance.parked) == (0, 0)
    assert await api.rows("dead-letters") == []
    web = next(one for one in fast.programs if one.name == "web")
    changes = [(line["who"], line["what"]) for line in web.lines("change audited")]
    assert ("tests", "POST /api/v1/dead-letters/replay") in changes
    assert ("tests", "POST /api/v1/parked/resume") in changes
    assert api.token not in web.log
