"""People are told by direct message; whom nobody can tell is said, with the step, until they can be told."""

import pytest
from support.commands import get_failed_checks, get_failed_findings, wait_until_parked
from support.events import marks, numbered_alert
from support.installation import Installation, until
from support.people import get_user


@pytest.mark.thorough
@pytest.mark.slow
async def test_people_get_messages_by_email_and_by_id_once_they_can_receive_them(fast: Installation):
    workspace = fast.workspace
    people = {name: workspace.add_user(f"{name}@example.com") for name in ("ada", "bob", "gone", "left", "bot")}
    people["bot"].is_bot = True
    for name in ("gone", "left"):
        get_user(workspace, people[name]).deleted = True
    ids = {name: user.id for name, user in people.items()}
    cannot = {
        "late@example.com": ("users_not_found", "invite this person to the workspace"),
        ids["left"]: ("user_disabled", "Activate the account again"),
        "bot@example.com": ("cannot_dm_bot", "Correct the subscription's destination"),
        ids["bot"]: ("cannot_dm_bot", "Correct the subscription's destination"),
        "U0NOBODY000": ("channel_not_found", "Check that U0NOBODY000 is an active member"),
    }
    await fast.connect("ada@example.com", ids["bob"], *cannot)
    fast.ingest(), fast.worker()
    for round_ in (10, 20):
        await fast.publish(*(numbered_alert(round_ + n, to) for n, to in enumerate(("ada@example.com", ids["bob"]))))
        await fast.publish(*(numbered_alert(100 * n + round_, to) for n, to in enumerate(cannot, 1)))
    rows = await wait_until_parked(fast, {f"acme/{to}": reason for to, (reason, _) in cannot.items()})
    await until(lambda: fast.marks("ada@example.com") == marks(10, 20), "a person is told by their address")
    await until(lambda: fast.marks(ids["bob"]) == marks(11, 21), "and by their id")
    red, failed = await get_failed_findings(fast), await get_failed_checks(fast)
    assert set(red) == {f"acme: {to}" for to in cannot}
    assert {f"acme: {to}": why for to, why in failed.items()} == red
    for to, (_, step) in cannot.items():
        row = rows[f"acme/{to}"]
        assert row["pending"] == 2
        assert step in row["hint"]
        assert to in row["detail"], "the person is named as the subscription names them"
        if to != "U0NOBODY000":  # of whom a look-up tells more than a post
            detail, fix = red[f"acme: {to}"]
            assert detail == row["detail"]
            assert row["hint"].startswith(fix), "the parked lane also names the command that moves the subscription"

    workspace.add_user("late@example.com")
    get_user(workspace, ids["left"]).deleted = False
    for number, to in ((1, "late@example.com"), (2, ids["left"])):
        await until(lambda to=to, n=number: fast.marks(to) == marks(100 * n + 10, 100 * n + 20), f"{to} is told")
    stays = {to: reason for to, (reason, _) in cannot.items() if to not in ("late@example.com", ids["left"])}
    await wait_until_parked(fast, {f"acme/{to}": reason for to, reason in stays.items()})


@pytest.mark.thorough
@pytest.mark.slow
async def test_a_reactivated_person_gets_every_message(fast: Installation):
    fast.workspace.add_user("ada@example.com")
    await fast.connect("ada@example.com")
    fast.ingest(), fast.worker()
    await fast.publish(numbered_alert(1, "ada@example.com"))
    await fast.settled(1)
    get_user(fast.workspace, "ada@example.com").deleted = True
    await fast.publish(numbered_alert(2, "ada@example.com"), numbered_alert(3, "ada@example.com"))
    rows = await wait_until_parked(fast, {"acme/ada@example.com": "user_disabled"})
    assert rows["acme/ada@example.com"]["detail"] == "The account of ada@example.com is deactivated"
    [(check, (_, fix))] = (await get_failed_findings(fast)).items()
    assert check == "acme: ada@example.com"
    assert "activate the deactivated account again" in fix
    get_user(fast.workspace, "ada@example.com").deleted = False
    balance = await fast.settled(3)
    assert fast.marks("ada@example.com") == marks(1, 2, 3)
    assert (balance.repeated, balance.dead) == (0, 0)
    assert await get_failed_findings(fast) == {}
