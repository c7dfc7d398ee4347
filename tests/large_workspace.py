"""A workspace of very many channels, and what was asked of Slack to know them."""

from collections.abc import Iterable, Sequence
from typing import Any

from installation import Installation, Program, until

from worker.domain.delivery import State
from worker.domain.subscription import Filters, Subscription
from worker.sandbox.state import Workspace

LIST = "conversations.list"


def fill(workspace: Workspace, *, public: int, private: int, joined: Iterable[str] = ()) -> None:
    """Channels `c0`, `c1` … and private ones `p0`, `p1` …; every tenth public one is archived.

    The bot is in those that are `joined` alone.
    """
    joined = set(joined)
    for number in range(public):
        name = f"c{number}"
        workspace.add_channel(name, member=name in joined, archived=number % 10 == 9 and name not in joined)
    for number in range(private):
        workspace.add_channel(f"p{number}", private=True, member=f"p{number}" in joined)


async def subscribe(one: Installation, *destinations: str) -> None:
    """Each destination gets what has its name as project.

    Straight into the store: the command looks at the destinations, and would begin to read the directory.
    """
    saved = await one.cli("integrations", "add", "acme", "--token-stdin", given=one.workspace.token)
    assert saved.code == 0, saved
    rules = [
        Subscription(f"sub-{to.strip('#')}", "acme", to, Filters(projects=(to.strip("#"),)))
        for to in destinations
    ]
    await one.made.subscriptions.change(save=rules)


def listed(one: Installation) -> int:
    """How often Slack was asked for a page of all channels."""
    return one.sandbox.calls[LIST]


def most_in_a_minute(one: Installation) -> int:
    """The most calls for a page in any 60 s."""
    times = [call.at_s for call in one.sandbox.call_log if call.method == LIST]
    return max((sum(at <= other < at + 60 for other in times) for at in times), default=0)


def readings(programs: Iterable[Program]) -> list[dict[str, Any]]:
    """What these programs' logs say of directories they have read."""
    return [line for program in programs for line in program.lines("directory read")]


async def looked_for(what: str, programs: Sequence[Program], *, times: int = 2) -> None:
    """Until they have looked so often from now whether a destination can be posted to."""

    def looks() -> int:
        lines = [line for program in programs for line in program.lines("still parked")]
        return sum(line["probed"] == f"lane:acme/{what}" for line in lines)

    before = looks()
    await until(lambda: looks() >= before + times, f"{what} is looked for")


async def lanes_end(one: Installation, told: int, parked: int, *, most_s: float = 30) -> None:
    """Until so many deliveries are told and so many wait for a person."""

    async def so_many() -> bool:
        balance = await one.balance()
        return (balance.delivered + balance.merged, balance.parked) == (told, parked)

    await until(so_many, f"{told} told, {parked} parked", most_s=most_s, told=lambda: one.sandbox.calls)


async def parked_codes(one: Installation) -> dict[str, str]:
    """Why each parked lane is parked, by destination."""
    lanes = {delivery.lane for delivery in await one.deliveries() if delivery.state is State.PARKED}
    return {lane.partition("/")[2]: (await one.made.upkeep.lane_note(lane))["parked"] for lane in lanes}
