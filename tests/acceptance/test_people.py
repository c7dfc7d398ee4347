"""People are told by direct message; whom nobody can tell is said, with the step, until they can be told."""

import pytest
from asking import failed_checks, parked, red_lines
from installation import Installation, alert, evts, until


@pytest.mark.slow
async def test_people_are_told_by_address_and_by_id_once_they_can_be(fast: Installation):
    workspace = fast.workspace
    people = {
        name: workspace.add_user(f"{name}@example.com") for name in ("ada", "bob", "gone", "left", "bot")
    }
    people["bot"].is_bot = True
    for name in ("gone", "left"):
        workspace.deactivate(people[name])
    ids = {name: user.id for name, user in people.items()}
    cannot = {
        "late@example.com": ("users_not_found", "invite late@example.com to the workspace"),
        ids["left"]: ("user_disabled", "Activate the account again"),
        "bot@example.com": ("cannot_dm_bot", "Correct the subscription's destination"),
        ids["bot"]: ("cannot_dm_bot", "Correct the subscription's destination"),
        "U0NOBODY000": ("channel_not_found", "Check that U0NOBODY000 is an active member"),
    }
    await fast.connect("ada@example.com", ids["bob"], *cannot)
    fast.ingest(), fast.worker()
    for round_ in (10, 20):
        await fast.publish(*(alert(round_ + n, to) for n, to in enumerate(("ada@example.com", ids["bob"]))))
        await fast.publish(*(alert(100 * n + round_, to) for n, to in enumerate(cannot, 1)))
    rows = await parked(fast, {f"acme/{to}": reason for to, (reason, _) in cannot.items()})
    await until(lambda: fast.marks("ada@example.com") == evts(10, 20), "a person is told by their address")
    await until(lambda: fast.marks(ids["bob"]) == evts(11, 21), "and by their id")
    red, failed = await red_lines(fast), await failed_checks(fast)
    assert set(red) == {f"acme: {to}" for to in cannot}
    assert {f"acme: {to}": why for to, why in failed.items()} == red
    for to, (_, step) in cannot.items():
        row = rows[f"acme/{to}"]
        assert row["pending"] == 2
        assert step in row["hint"]
        assert to in row["detail"], "the person is named as the subscription names them"
        if to != "U0NOBODY000":  # of whom a look-up tells more than a post
            assert red[f"acme: {to}"] == (row["detail"], row["hint"])

    workspace.add_user("late@example.com")
    workspace.reactivate(ids["left"])
    for number, to in ((1, "late@example.com"), (2, ids["left"])):
        await until(
            lambda to=to, n=number: fast.marks(to) == evts(100 * n + 10, 100 * n + 20), f"{to} is told"
        )
    stays = {to: reason for to, (reason, _) in cannot.items() if to not in ("late@example.com", ids["left"])}
    await parked(fast, {f"acme/{to}": reason for to, reason in stays.items()})


@pytest.mark.slow
async def test_a_person_who_leaves_and_comes_back_misses_nothing(fast: Installation):
    fast.workspace.add_user("ada@example.com")
    await fast.connect("ada@example.com")
    fast.ingest(), fast.worker()
    await fast.publish(alert(1, "ada@example.com"))
    await fast.settled(1)
    fast.workspace.deactivate("ada@example.com")
    await fast.publish(alert(2, "ada@example.com"), alert(3, "ada@example.com"))
    rows = await parked(fast, {"acme/ada@example.com": "user_disabled"})
    assert rows["acme/ada@example.com"]["detail"] == "The account of ada@example.com is deactivated"
    [(check, (_, mend))] = (await red_lines(fast)).items()
    assert check == "acme: ada@example.com"
    assert "activate the account again" in mend
    fast.workspace.reactivate("ada@example.com")
    balance = await fast.settled(3)
    assert fast.marks("ada@example.com") == evts(1, 2, 3)
    assert (balance.repeated, balance.dead) == (0, 0)
    assert await red_lines(fast) == {}
