"""A token a person pasted becomes an integration, or the reason why it cannot and the step that mends it."""

import pytest
from fake_slack import identity
from pipeline_house import House, alert

from worker.domain.errors import Problem, Refusal, Throttled, Transient, Uncertain
from worker.domain.integration import Secret
from worker.pipeline.connect import (
    add_integration,
    ensure_default,
    rotate_token,
    test_token,
    token_fault,
)

test_token.__test__ = False  # type: ignore[attr-defined]  # not one of pytest's


def test_a_bot_token_has_the_shape_of_one() -> None:
    assert token_fault(Secret("xoxb-1-2-abc")) == ("", "")


@pytest.mark.parametrize(
    ("text", "fault", "step"),
    [
        ("xoxp-1", "this is a user token (xoxp-…), not a bot token", "Copy the Bot User OAuth Token"),
        ("xapp-1", "this is an app-level token (xapp-…), not a bot token", "Copy the Bot User OAuth Token"),
        ("xoxe.xoxb-1", "token rotation, which expires after 12 hours (xoxe.xoxb-…)", "`ik-slack manifest`"),
        ("xoxe.xoxp-1", "this is a user token (xoxe.xoxp-…), not a bot token", "Copy the Bot"),
        ("xoxe.1", "this is a token of an app with token rotation (xoxe.…)", "`ik-slack manifest`"),
        ("xoxe-1", "this is a refresh token (xoxe-…), not a bot token", "`ik-slack manifest`"),
        ("", "which starts with xoxb-", "Copy the Bot User OAuth Token"),
        ("hunter2", "this is no token of a Slack bot, which starts with xoxb-", "Copy the Bot"),
    ],
)
async def test_another_text_is_refused_without_asking_slack(
    house: House, text: str, fault: str, step: str
) -> None:
    house.slack.calls.clear()
    checks, who = await test_token(house.slack, Secret(text), "acme")
    assert who is None
    assert [(check.name, check.passed) for check in checks] == [("token", False)]
    assert fault in checks[0].detail
    assert step in checks[0].mend
    assert "OAuth & Permissions" in checks[0].mend
    assert not house.slack.calls


async def test_a_token_that_is_well_passes_every_check(house: House) -> None:
    checks, who = await test_token(house.slack, Secret("xoxb-1"), "acme")
    assert who == identity()
    assert [(check.name, check.passed, check.mend) for check in checks] == [
        ("token", True, ""),
        ("connection", True, ""),
        ("scopes", True, ""),
    ]


async def test_a_revoked_token_says_how_to_get_another(house: House) -> None:
    house.slack.faults["xoxb-1"] = "token_revoked"
    checks, who = await test_token(house.slack, Secret("xoxb-1"), "acme")
    assert who is None
    assert checks[-1].detail == "The token of acme was revoked"
    assert "ik-slack integrations rotate acme" in checks[-1].mend
    assert "{" not in checks[-1].detail + checks[-1].mend


@pytest.mark.parametrize(
    ("ending", "step"),
    [
        (Transient("connect_failed"), "Check the network between this machine and Slack"),
        (Uncertain("read_timeout"), "Check the network between this machine and Slack"),
        (Uncertain("unreadable_answer"), "check SLACK_API_URL and any proxy"),
        (Transient("http_404"), "check SLACK_API_URL and any proxy"),
        (Uncertain("http_502"), "try again in a few minutes"),
        ("service_unavailable", "try again in a few minutes"),
        ("brand_new_code", "please tell us"),
        ("invalid_arguments", "please tell us"),
    ],
)
async def test_no_answer_is_no_fault_of_the_token(house: House, ending: Refusal | str, step: str) -> None:
    house.slack.ends("auth.test", ending)
    checks, _ = await test_token(house.slack, Secret("xoxb-1"), "acme")
    assert checks[-1].name == "connection"
    assert step in checks[-1].mend


async def test_a_missing_scope_is_named_and_no_obstacle(house: House) -> None:
    house.slack.identities["xoxb-1"] = identity(scopes=("chat:write", "channels:read", "users:read"))
    checks, _ = await test_token(house.slack, Secret("xoxb-1"), "acme")
    assert checks[-1].detail == "missing: groups:read, users:read.email"
    assert "Add groups:read, users:read.email under OAuth & Permissions" in checks[-1].mend
    assert "If that gives a new token, run `ik-slack integrations rotate acme`." in checks[-1].mend
    assert (await house.connect()).scopes == ("chat:write", "channels:read", "users:read")


async def add(house: House, name: str = "acme", token: str = "xoxb-2", **more: object) -> str:
    added = await add_integration(house.made.integrations, house.slack, name, Secret(token), **more)  # type: ignore[arg-type]
    return added.id


async def test_a_name_that_exists_gets_the_new_token_and_keeps_the_rest(house: House) -> None:
    await add(house, "acme", "xoxb-1", description="our own", labels=("prod",))
    assert await add(house) == "acme"
    [one] = await house.made.integrations.all()
    assert (one.description, one.labels) == ("our own", ("prod",))
    assert (await house.made.integrations.token("acme")).reveal() == "xoxb-2"


async def test_the_same_name_for_another_workspace_is_refused(house: House) -> None:
    house.slack.identities["xoxb-2"] = identity("T0000002")
    with pytest.raises(Problem, match="Choose another name for the other workspace"):
        await add(house)
    assert (await house.made.integrations.token("acme")).reveal() == "xoxb-1"


async def test_a_token_slack_does_not_know_is_not_saved(house: House) -> None:
    with pytest.raises(Problem, match="Integration new was not saved: Slack does not accept the token"):
        await add(house, "new", "xoxb-unknown")
    with pytest.raises(Problem, match="then run `ik-slack integrations add new`"):
        await add(house, "new", "xoxb-unknown")
    with pytest.raises(Problem, match="then run `ik-slack integrations rotate acme`"):
        await add(house, "acme", "xoxb-unknown")
    with pytest.raises(Problem, match="this is a user token"):
        await add(house, "new", "xoxp-1")
    assert [one.name for one in await house.made.integrations.all()] == ["acme"]


async def test_a_new_token_for_a_parked_integration_frees_it(house: House) -> None:
    house.slack.faults["xoxb-1"] = "token_revoked"
    await house.tell(alert())
    await add(house)
    [one] = await house.made.integrations.all()
    assert one.state == "active"
    assert (await house.drain()).posts == 1


async def test_a_rotated_token_of_another_workspace_is_refused_unless_forced(house: House) -> None:
    house.slack.identities["xoxb-2"] = identity("T0000002")
    [one] = await house.made.integrations.all()
    with pytest.raises(Problem, match="force"):
        await rotate_token(house.made.integrations, house.slack, one, Secret("xoxb-2"), force=False)
    moved = await rotate_token(house.made.integrations, house.slack, one, Secret("xoxb-2"), force=True)
    assert moved.team_id == "T0000002"


async def test_a_disabled_integration_stays_so_when_its_token_changes(house: House) -> None:
    await house.made.integrations.park("acme", "disabled", "switched off", "", probe_s=60)
    [one] = await house.made.integrations.all()
    rotated = await rotate_token(house.made.integrations, house.slack, one, Secret("xoxb-2"), force=False)
    assert rotated.state == "disabled"
    [kept] = await house.made.integrations.all()
    assert kept.state == "disabled"


async def test_the_default_integration_is_made_when_there_is_none(house: House) -> None:
    assert await ensure_default(house.made.integrations, house.slack, Secret("xoxb-1")) is None
    await house.made.integrations.remove("acme")
    made = await ensure_default(house.made.integrations, house.slack, Secret("xoxb-1"))
    assert made is not None
    assert (made.name, made.description) == ("default", "from SLACK_BOT_TOKEN")


async def test_a_short_wait_that_slack_asks_for_is_waited(house: House) -> None:
    house.slack.ends("auth.test", Throttled(0.001), Throttled(0.001))
    checks, who = await test_token(house.slack, Secret("xoxb-1"), "acme")
    assert who == identity()
    house.slack.ends("auth.test", *[Throttled(0.001)] * 4)
    checks, who = await test_token(house.slack, Secret("xoxb-1"), "acme")
    assert (who, checks[-1].mend) == (None, "Try again then.")


async def test_a_long_wait_is_said(house: House) -> None:
    house.slack.ends("auth.test", Throttled(120))
    checks, _ = await test_token(house.slack, Secret("xoxb-1"), "acme")
    assert (checks[-1].detail, checks[-1].mend) == ("Slack asks to wait 120 s", "Try again then.")
