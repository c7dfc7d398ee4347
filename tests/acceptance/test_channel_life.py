"""What becomes of a channel is noticed: its lane goes on or parks with the step, and nothing is lost."""

import pytest
from support.commands import get_failed_checks, get_failed_findings, wait_until_parked
from support.events import marks, numbered_alert
from support.installation import Installation, until

from worker.domain.hints import ELSE_CORRECT_DESTINATION
from worker.sandbox.slack.workspace import Workspace

IF_PRIVATE = "If the channel is private, type `/invite @infrakitchen` in it."
CLOSED = {
    "kicked": ("not_in_channel", "Type `/invite @infrakitchen` in #{0}."),
    "archived": ("is_archived", "Unarchive #{0}"),
    "deleted": ("channel_not_found", "To move its events, run `ik-slack subscriptions move"),
    "hidden": ("channel_not_found", IF_PRIVATE),
    "kicked-private": ("channel_not_found", IF_PRIVATE),
}
OPEN = ("renamed", "made-private", "quiet")


def lives(workspace: Workspace) -> None:
    """Each channel meets what it is called."""
    workspace.kick("kicked")
    workspace.archive("archived")
    workspace.delete("deleted")
    workspace.kick("hidden")
    workspace.get_channel("hidden").private = True
    workspace.kick("kicked-private")
    workspace.rename("renamed", "now-this")
    workspace.get_channel("made-private").private = True


def mends(workspace: Workspace) -> None:
    """A person takes the steps; the deleted channel is made anew under its name."""
    for name in ("kicked", "hidden", "kicked-private"):
        workspace.invite(name)
    workspace.unarchive("archived")
    workspace.add_channel("deleted")


@pytest.mark.slow
async def test_lanes_of_channels_without_access_park_with_the_fix_and_resume_automatically(fast: Installation):
    workspace = fast.workspace
    workspace.add_channel("not-invited", member=False)
    workspace.add_channel("private", private=True, member=False)
    workspace.add_channel("archived", archived=True)
    workspace.add_channel("shop")
    closed = {
        "not-invited": ("not_in_channel", "/invite @infrakitchen"),
        "private": ("channel_not_found", "/invite @infrakitchen"),
        "archived": ("is_archived", "Unarchive #archived"),
        "none": ("channel_not_found", "ik-slack subscriptions move"),
    }
    names = [*closed, "shop"]
    await fast.connect(*(f"#{name}" for name in names))
    fast.ingest(), fast.worker()
    for number in range(10):
        await fast.publish(*(numbered_alert(100 * place + number, name) for place, name in enumerate(names)))
    await wait_until_parked(fast, {f"acme/#{name}": code for name, (code, _) in closed.items()})
    await until(lambda: len(fast.marks("shop")) == 10, "the other channel is told")
    for number in range(10, 20):
        await fast.publish(*(numbered_alert(100 * place + number, name) for place, name in enumerate(closed)))
    await until(lambda: _created(fast, 90), "all are in their lanes")
    for row in await fast.asked("parked", "list"):
        assert closed[row["channel"].strip("#")][1] in row["hint"]
        assert row["pending"] == 20
    assert sum(len(fast.messages(name)) for name in closed) == 0

    workspace.invite("not-invited"), workspace.invite("private")
    workspace.unarchive("archived"), workspace.add_channel("none")
    balance = await fast.settled(90)
    for place, name in enumerate(closed):
        assert fast.marks(name) == marks(*range(100 * place, 100 * place + 20))
    assert (balance.dead, balance.repeated) == (0, 0)
    assert await fast.app.backlogs.list_lanes() == []


async def _created(installation: Installation, count: int) -> bool:
    return (await installation.balance()).created == count


@pytest.mark.slow
async def test_lanes_of_changed_channels_park_with_the_fix_and_resume_once_fixed(fast: Installation):
    names = [*CLOSED, *OPEN]
    ids = {name: fast.workspace.add_channel(name, private=name == "kicked-private").id for name in names}
    await fast.connect(*(f"#{name}" for name in names))
    fast.ingest(), fast.worker()
    await fast.publish(*(numbered_alert(100 + place, name) for place, name in enumerate(names)))
    await fast.settled(len(names))

    lives(fast.workspace)
    for round_ in (200, 300):
        await fast.publish(*(numbered_alert(round_ + place, name) for place, name in enumerate(names)))
    rows = await wait_until_parked(fast, {f"acme/#{name}": reason for name, (reason, _) in CLOSED.items()})
    red = await get_failed_findings(fast)
    assert set(red) == {f"acme: #{name}" for name in CLOSED}
    for name, (_, step) in CLOSED.items():
        row = rows[f"acme/#{name}"]
        assert (row["pending"], row["channel"]) == (2, f"#{name}")
        assert step.format(name) in row["hint"]
        detail, fix = red[f"acme: #{name}"]
        assert detail == row["detail"]
        own_step = fix.removesuffix(ELSE_CORRECT_DESTINATION)
        assert row["hint"].startswith(own_step), "the parked lane may also name the command that moves the subscription"

    mends(fast.workspace)
    balance = await fast.settled(3 * len(names))
    assert (balance.repeated, balance.dead, balance.parked) == (0, 0, 0)
    ids["deleted"] = fast.workspace.get_channel("deleted").id
    for place, name in enumerate(names):
        told = marks(*(round_ + place for round_ in (100, 200, 300)))
        lost = 1 if name == "deleted" else 0  # went with the channel they were in
        assert fast.marks(ids[name]) == told[lost:]
    assert await fast.asked("parked", "list") == []
    assert await get_failed_findings(fast) == {}


@pytest.mark.thorough
@pytest.mark.slow
async def test_after_a_directory_refresh_no_post_goes_to_a_channel_that_would_reject_it(fast: Installation):
    names = ["kicked", "archived", "renamed", "invited", "unarchived"]
    for name in names:
        fast.workspace.add_channel(name, member=name != "invited", archived=name == "unarchived")
    await fast.connect(*(f"#{name}" for name in names))
    fast.workspace.kick("kicked")
    fast.workspace.rename("kicked", "kicked-out")
    fast.workspace.archive("archived")
    fast.workspace.rename("renamed", "now-this")
    fast.workspace.invite("invited")
    fast.workspace.unarchive("unarchived")
    assert (await fast.cli("channels", "refresh", "acme")).code == 0
    listed = {one["name"]: one for one in await fast.asked("channels", "list")}
    assert listed["now-this"]["is_member"]
    assert (listed["kicked-out"]["is_member"], listed["archived"]["is_archived"]) == (False, True)
    fast.ingest(), fast.worker()
    await fast.publish(*(numbered_alert(number, name) for number, name in enumerate(names, 1)))
    rows = await wait_until_parked(fast, {"acme/#kicked": "not_in_channel", "acme/#archived": "is_archived"})
    assert rows["acme/#kicked"]["hint"] == "Type `/invite @infrakitchen` in #kicked-out.", "its name by now"
    goes_on = ("now-this", "invited", "unarchived")
    await until(lambda: [fast.marks(one) for one in goes_on] == [marks(3), marks(4), marks(5)], "they go on")
    assert {outcome for (method, outcome) in fast.sandbox.outcomes if method == "chat.postMessage"} == {"ok"}
    fast.workspace.invite("kicked-out")
    fast.workspace.unarchive("archived")
    await fast.settled(len(names))
    assert fast.marks("kicked-out") + fast.marks("archived") == marks(1, 2)


@pytest.mark.thorough
@pytest.mark.slow
async def test_channels_with_one_name_in_several_workspaces_have_independent_lanes(fast: Installation):
    globex = fast.sandbox.add_workspace("Globex")
    ours, theirs = fast.workspace.add_channel("ops"), globex.add_channel("ops")
    lone = fast.workspace.add_channel("lone")
    added = await fast.cli("integrations", "add", "globex", "--token-stdin", given=globex.token)
    assert added.code == 0, added
    elsewhere = {"integration": "globex", "destination": "#ops", "project": "theirs"}
    both = [{"integration": name, "destination": "#ops", "project": "both"} for name in ("acme", "globex")]
    mine = [{"integration": "acme", "destination": f"#{name}", "project": name} for name in ("ops", "lone")]
    await fast.connect(rules=[*mine, elsewhere, *both])
    fast.ingest(), fast.worker()
    await fast.publish(numbered_alert(1), numbered_alert(2, "theirs"), numbered_alert(3, "both"))
    await fast.settled(4)
    assert (fast.marks(ours.id), fast.marks(theirs.id)) == (marks(1, 3), marks(2, 3))

    fast.workspace.kick("ops")
    await fast.publish(
        numbered_alert(4), numbered_alert(5, "theirs"), numbered_alert(6, "both"), numbered_alert(7, "lone")
    )
    rows = await wait_until_parked(fast, {"acme/#ops": "not_in_channel"})
    assert rows["acme/#ops"]["pending"] == 2
    assert await get_failed_findings(fast) == {"acme: #ops": (rows["acme/#ops"]["detail"], rows["acme/#ops"]["hint"])}
    assert await get_failed_checks(fast, "globex") == {}
    await until(lambda: fast.marks(theirs.id) == marks(2, 3, 5, 6), "the other workspace goes on")
    await until(lambda: fast.marks(lone.id) == marks(7), "so does the other channel")

    globex.revoke(globex.token)
    fast.workspace.invite("ops")
    await fast.publish(numbered_alert(8, "both"))
    rows = await wait_until_parked(fast, {"globex/#ops": "token_revoked"})
    assert rows["globex/#ops"]["whole_integration"]
    await until(lambda: fast.marks(ours.id) == marks(1, 3, 4, 6, 8), "the first goes on again")
    globex.reinstate(globex.token)
    balance = await fast.settled(11)
    assert fast.marks(theirs.id) == marks(2, 3, 5, 6, 8)
    assert (balance.repeated, balance.dead) == (0, 0)
