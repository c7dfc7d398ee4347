"""A pasted token becomes an integration, or a failed check with its fix."""

import pytest
from support.events import alert
from support.fake_slack import identity
from support.pipeline import Pipeline

from worker.domain.errors import SlackError, Throttled, Transient, Uncertain, UserError
from worker.domain.hints import Hint
from worker.domain.integration import Secret
from worker.pipeline.integration_setup import (
    add_integration,
    check_token_shape,
    ensure_default_integration,
    rotate_token,
    test_token,
)

test_token.__test__ = False  # type: ignore[attr-defined]  # not one of pytest's


def test_a_bot_token_has_the_shape_of_one() -> None:
    assert check_token_shape(Secret("xoxb-1-2-abc")).passed


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
        ("hunter2", "this is not a Slack bot token, which starts with xoxb-", "Copy the Bot"),
    ],
)
async def test_a_text_with_another_shape_fails_without_a_call_to_slack(
    house: Pipeline, text: str, fault: str, step: str
) -> None:
    house.slack.calls.clear()
    checks, who = await test_token(house.slack, Secret(text), "acme")
    assert who is None
    assert [(check.name, check.passed) for check in checks] == [("token", False)]
    assert fault in checks[0].detail
    assert step in str(checks[0].fix)
    assert "OAuth & Permissions" in str(checks[0].fix)
    assert not house.slack.calls


async def test_a_valid_token_passes_every_check(house: Pipeline) -> None:
    checks, who = await test_token(house.slack, Secret("xoxb-1"), "acme")
    assert who == identity()
    assert [(check.name, check.passed, str(check.fix)) for check in checks] == [
        ("token", True, ""),
        ("connection", True, ""),
        ("scopes", True, ""),
    ]


async def test_a_revoked_token_fails_with_the_fix(house: Pipeline) -> None:
    house.slack.faults["xoxb-1"] = "token_revoked"
    checks, who = await test_token(house.slack, Secret("xoxb-1"), "acme")
    assert who is None
    assert checks[-1].detail == "The token of acme was revoked"
    assert "ik-slack integrations rotate acme" in str(checks[-1].fix)
    assert "{" not in checks[-1].detail + str(checks[-1].fix)


@pytest.mark.parametrize(
    ("ending", "step"),
    [
        (Transient("connect_failed"), "Check the network between this machine and Slack"),
        (Uncertain("read_timeout"), "Check the network between this machine and Slack"),
        (Transient("certificate_untrusted"), "Try again then."),
        (Uncertain("unreadable_answer"), "check SLACK_API_URL and any proxy"),
        (Transient("http_404"), "check SLACK_API_URL and any proxy"),
        (Uncertain("http_502"), "try again in a few minutes"),
        ("service_unavailable", "try again in a few minutes"),
        ("brand_new_code", "please report it"),
        ("invalid_arguments", "please report it"),
    ],
)
async def test_an_error_of_the_connection_has_a_fix_of_its_own(
    house: Pipeline, ending: SlackError | str, step: str
) -> None:
    house.slack.ends("auth.test", ending)
    checks, _ = await test_token(house.slack, Secret("xoxb-1"), "acme")
    assert checks[-1].name == "connection"
    assert step in str(checks[-1].fix)


async def test_a_token_with_missing_scopes_is_saved(house: Pipeline) -> None:
    house.slack.identities["xoxb-1"] = identity(scopes=("chat:write", "channels:read", "users:read"))
    checks, _ = await test_token(house.slack, Secret("xoxb-1"), "acme")
    assert checks[-1].detail == "missing: groups:read, users:read.email"
    assert "Add groups:read, users:read.email under OAuth & Permissions" in str(checks[-1].fix)
    assert "If that gives a new token, run `ik-slack integrations rotate acme`." in str(checks[-1].fix)
    assert (await house.connect()).scopes == ("chat:write", "channels:read", "users:read")


async def add(house: Pipeline, name: str = "acme", token: str = "xoxb-2", **more: object) -> str:
    added = await add_integration(house.app.integrations, house.slack, name, Secret(token), **more)  # type: ignore[arg-type]
    return added.id


async def test_adding_an_existing_name_replaces_only_the_token(house: Pipeline) -> None:
    await add(house, "acme", "xoxb-1", description="our own", labels=("prod",))
    assert await add(house) == "acme"
    [one] = await house.app.integrations.list_all()
    assert (one.description, one.labels) == ("our own", ("prod",))
    assert (await house.app.integrations.get_token("acme")).reveal() == "xoxb-2"


async def test_an_existing_name_of_another_workspace_is_rejected(house: Pipeline) -> None:
    house.slack.identities["xoxb-2"] = identity("T0000002")
    with pytest.raises(UserError, match="Choose another name for the other workspace"):
        await add(house)
    assert (await house.app.integrations.get_token("acme")).reveal() == "xoxb-1"


async def test_a_token_that_slack_rejects_is_not_saved(house: Pipeline) -> None:
    with pytest.raises(UserError, match="Not saved: Slack does not accept the token"):
        await add(house, "new", "xoxb-unknown")
    with pytest.raises(UserError, match="then run `ik-slack integrations add new`"):
        await add(house, "new", "xoxb-unknown")
    with pytest.raises(UserError, match="then run `ik-slack integrations rotate acme`"):
        await add(house, "acme", "xoxb-unknown")
    with pytest.raises(UserError, match="this is a user token"):
        await add(house, "new", "xoxp-1")
    assert [one.name for one in await house.app.integrations.list_all()] == ["acme"]


async def test_a_new_token_resumes_a_parked_integration(house: Pipeline) -> None:
    house.slack.faults["xoxb-1"] = "token_revoked"
    await house.deliver(alert())
    await add(house)
    [one] = await house.app.integrations.list_all()
    assert one.state == "active"
    assert (await house.drain()).posts == 1


async def test_a_token_of_another_workspace_is_rejected_unless_forced(house: Pipeline) -> None:
    house.slack.identities["xoxb-2"] = identity("T0000002")
    [one] = await house.app.integrations.list_all()
    with pytest.raises(UserError, match="force"):
        await rotate_token(house.app.integrations, house.slack, one, Secret("xoxb-2"), force=False)
    moved = await rotate_token(house.app.integrations, house.slack, one, Secret("xoxb-2"), force=True)
    assert moved.team_id == "T0000002"


async def test_a_disabled_integration_stays_disabled_when_its_token_changes(house: Pipeline) -> None:
    await house.app.integrations.park("acme", "disabled", "switched off", Hint.of(""), probe_s=60)
    [one] = await house.app.integrations.list_all()
    rotated = await rotate_token(house.app.integrations, house.slack, one, Secret("xoxb-2"), force=False)
    assert rotated.state == "disabled"
    [kept] = await house.app.integrations.list_all()
    assert kept.state == "disabled"


async def test_the_default_integration_is_added_when_none_exists(house: Pipeline) -> None:
    assert await ensure_default_integration(house.app.integrations, house.slack, Secret("xoxb-1")) is None
    await house.app.integrations.remove("acme")
    app = await ensure_default_integration(house.app.integrations, house.slack, Secret("xoxb-1"))
    assert app is not None
    assert (app.name, app.description) == ("default", "from SLACK_BOT_TOKEN")


async def test_a_throttled_test_is_repeated_after_a_short_wait(house: Pipeline) -> None:
    house.slack.ends("auth.test", Throttled(0.001), Throttled(0.001))
    checks, who = await test_token(house.slack, Secret("xoxb-1"), "acme")
    assert who == identity()
    house.slack.ends("auth.test", *[Throttled(0.001)] * 4)
    checks, who = await test_token(house.slack, Secret("xoxb-1"), "acme")
    assert (who, str(checks[-1].fix)) == (None, "Try again then.")


async def test_a_throttled_test_fails_when_the_wait_is_long(house: Pipeline) -> None:
    house.slack.ends("auth.test", Throttled(120))
    checks, _ = await test_token(house.slack, Secret("xoxb-1"), "acme")
    assert (checks[-1].detail, str(checks[-1].fix)) == ("Slack asks to wait 120 s", "Try again then.")
