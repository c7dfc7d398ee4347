"""A workspace with very many channels, and the calls that read its directory."""

from collections.abc import Iterable, Sequence
from typing import Any

from support.installation import Installation, Program, until
from worker.domain.delivery import State
from worker.domain.subscription import Filters, Subscription
from worker.sandbox.slack.workspace import Workspace

LIST = "conversations.list"


def add_channels(workspace: Workspace, *, public: int, private: int, joined: Iterable[str] = ()) -> None:
    """Add channels `c0`, `c1` … and private ones `p0`, `p1` …; every tenth public one is archived.

    The bot is a member of the `joined` channels only.
    """
    joined = set(joined)
    for number in range(public):
        name = f"c{number}"
        workspace.add_channel(name, member=name in joined, archived=number % 10 == 9 and name not in joined)
    for number in range(private):
        workspace.add_channel(f"p{number}", private=True, member=f"p{number}" in joined)


async def subscribe_in_store(installation: Installation, *destinations: str) -> None:
    """Save a subscription for each destination, which matches the project of the same name.

    Directly in the store: the command resolves the destinations, and would start to read the directory.
    """
    saved = await installation.cli("integrations", "add", "acme", "--token-stdin", given=installation.workspace.token)
    assert saved.code == 0, saved
    subscriptions = [
        Subscription(f"sub-{to.strip('#')}", "acme", to, Filters(projects=(to.strip("#"),))) for to in destinations
    ]
    await installation.app.subscriptions.save_and_remove(save=subscriptions)


def count_list_calls(installation: Installation) -> int:
    """Return the number of calls for a page of all channels."""
    return installation.sandbox.calls[LIST]


def max_list_calls_per_minute(installation: Installation) -> int:
    """Return the maximum number of calls for a page in any 60 s."""
    times = [call.at_s for call in installation.sandbox.call_log if call.method == LIST]
    return max((sum(at <= other < at + 60 for other in times) for at in times), default=0)


def list_refreshes(programs: Iterable[Program]) -> list[dict[str, Any]]:
    """Return the log lines of refreshed directories."""
    return [line for program in programs for line in program.lines("directory refreshed")]


async def wait_for_probes(destination: str, programs: Sequence[Program], *, times: int = 2) -> None:
    """Wait until a destination was probed `times` more times."""

    def count_probes() -> int:
        lines = [line for program in programs for line in program.lines("probe failed")]
        return sum(line["target"] == f"lane:acme/{destination}" for line in lines)

    before = count_probes()
    await until(lambda: count_probes() >= before + times, f"{destination} is probed")


async def wait_for_lanes(installation: Installation, delivered: int, parked: int, *, most_s: float = 30) -> None:
    """Wait until this many deliveries are delivered and parked."""

    async def is_reached() -> bool:
        balance = await installation.balance()
        return (balance.delivered + balance.merged, balance.parked) == (delivered, parked)

    await until(
        is_reached, f"{delivered} delivered, {parked} parked", most_s=most_s, told=lambda: installation.sandbox.calls
    )


async def parked_codes(installation: Installation) -> dict[str, str]:
    """Return the code of each parked lane by its destination."""
    lanes = {delivery.lane for delivery in await installation.deliveries() if delivery.state is State.PARKED}
    return {lane.partition("/")[2]: (await installation.app.lanes.get_status(lane)).parked for lane in lanes}
