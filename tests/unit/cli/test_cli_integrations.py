"""`ik-slack integrations`: a token is tested before it is saved, never shown, and rotated without a restart."""

import base64
import os
import pty
import subprocess
import sys

import pytest
from cryptography.fernet import Fernet
from support.cli import UNREACHABLE_URL, Shell

from worker.bootstrap.context import AppContext
from worker.domain.delivery import Address
from worker.domain.hints import Hint
from worker.domain.integration import Health
from worker.store.lanes import NewDelivery
from worker.store.token_cipher import generate_key

CONTRACT = {"id", "name", "team_id", "team", "bot_user_id", "scopes", "missing_scopes", "state"}


def test_a_token_from_standard_input_becomes_an_integration(shell: Shell) -> None:
    ended = shell("integrations", "add", "My Ops", "--token-stdin", "--json", stdin=f"{shell.acme.token}\n")
    assert ended.code == 0
    assert ended.json.keys() >= CONTRACT
    assert ended.json["id"] == "my-ops"
    assert ended.json["team"] == "Acme"
    assert ended.json["missing_scopes"] == []
    assert shell.acme.token not in ended.out + ended.err


def test_the_token_option_warns_that_other_users_can_see_it(shell: Shell) -> None:
    assert shell("integrations", "add", "acme", "--token", shell.acme.token).code == 0
    assert "Other users of this machine can see it" in " ".join(shell("integrations", "add", "--help").out.split())


def test_without_a_terminal_the_error_names_the_token_options(shell: Shell) -> None:
    ended = shell("integrations", "add", "acme")
    assert ended.code == 2
    assert "--token-stdin" in ended.err


def seal(token: str, key: str) -> str:
    """Encrypt a token as InfraKitchen stores it."""
    return f"EncryptedSecretStr:{Fernet(base64.b64decode(key)).encrypt(token.encode()).decode()}"


def test_a_token_that_infrakitchen_stores_is_decrypted_with_the_shared_key(shell: Shell) -> None:
    sealed = seal(shell.acme.token, os.environ["ENCRYPTION_KEY"])
    ended = shell("integrations", "add", "acme", "--sealed", "--token-stdin", "--json", stdin=f"{sealed}\n")
    assert (ended.code, ended.json["team"]) == (0, "Acme")
    assert shell("integrations", "test", "acme").code == 0


@pytest.mark.parametrize("sealed", [seal("xoxb-1", generate_key()), "xoxb-1"])
def test_a_sealed_token_of_another_key_is_refused(shell: Shell, sealed: str) -> None:
    ended = shell("integrations", "add", "acme", "--sealed", "--token-stdin", stdin=sealed)
    assert (ended.code, ended.out) == (1, "")
    assert "put InfraKitchen's ENCRYPTION_KEY" in ended.err
    assert sealed not in ended.err
    assert shell("integrations", "list", "--json").json == []


@pytest.mark.parametrize("stdin", ["", " \n"])
def test_an_empty_token_is_wrong_use(shell: Shell, stdin: str) -> None:
    assert shell("integrations", "add", "acme", "--token-stdin", stdin=stdin).code == 2


def test_two_tokens_are_wrong_use(shell: Shell) -> None:
    assert shell("integrations", "add", "acme", "--token-stdin", "--token", "xoxb-1").code == 2


@pytest.mark.slow
def test_on_a_terminal_the_token_is_asked_for_and_not_echoed(shell: Shell) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", "from worker.cli import main; main()", "integrations", "add", "acme"],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    ) as program:  # fmt: skip
        os.close(theirs)
        said = b""
        while b"xoxb-)" not in said:
            said += os.read(ours, 1000)
        os.write(ours, f"{shell.acme.token}\n".encode())
        while b"Saved" not in said:
            said += os.read(ours, 1000)
    os.close(ours)
    assert program.returncode == 0
    assert shell.acme.token.encode() not in said
    assert shell("integrations", "show", "acme").code == 0


@pytest.mark.parametrize("name", ["", " ops", "a" * 81, "tab\there"])
def test_a_name_is_1_to_80_printable_characters(shell: Shell, name: str) -> None:
    assert shell("integrations", "add", name, "--token", "xoxb-1").code == 2


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("nonsense", "starts with xoxb-"),
        ("xoxp-1", "a user token"),
        ("xoxb-1", "does not accept the token of acme"),
    ],
)
def test_a_token_that_cannot_work_is_refused_in_one_line(shell: Shell, token: str, reason: str) -> None:
    ended = shell("integrations", "add", "acme", "--token", token)
    assert ended.code == 1
    assert reason in ended.err
    assert len(ended.err.splitlines()) == 1
    assert shell("integrations", "list", "--json").json == []


def test_a_token_of_a_whole_organisation_is_refused_with_the_fix(shell: Shell) -> None:
    shell.acme.org_wide = True
    ended = shell("integrations", "add", "acme", "--token", shell.acme.token)
    assert ended.code == 1
    assert "The token of acme is for a whole organisation, not for one workspace. Create the app in one" in ended.err
    assert "ik-slack integrations add acme" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_missing_scope_is_a_warning_with_the_fix(shell: Shell) -> None:
    few = shell.acme.add_token(("chat:write", "channels:read", "users:read", "users:read.email"))
    ended = shell("integrations", "add", "acme", "--token", few, "--json")
    assert ended.code == 0
    assert ended.json["missing_scopes"] == ["groups:read"]
    assert "Add groups:read under OAuth & Permissions" in ended.err


def test_description_and_labels_are_kept_and_shown(shell: Shell) -> None:
    words = ("--description", "for on-call", "--label", "slack", "--label", "alerts")
    shell("integrations", "add", "acme", "--token", shell.acme.token, *words)
    shown = shell("integrations", "show", "acme")
    assert "for on-call" in shown.out
    assert "slack, alerts" in shown.out
    assert shell("integrations", "show", "acme", "--json").json["labels"] == ["slack", "alerts"]


def test_adding_a_name_again_replaces_its_token(shell: Shell) -> None:
    shell.connect()
    shell.acme.revoke(shell.acme.token)
    assert shell("integrations", "add", "acme", "--token", shell.acme.add_token()).code == 0
    assert len(shell("integrations", "list", "--json").json) == 1
    assert shell("integrations", "test", "acme").code == 0


def test_the_list_shows_reasons_and_fixes_below_the_table(shell: Shell) -> None:
    assert "No integration yet" in shell("integrations", "list").out
    shell.connect()
    shell("integrations", "disable", "acme")
    listed = shell("integrations", "list").out
    assert "disabled" in listed
    assert "`ik-slack integrations enable acme`" in listed


def test_an_unknown_name_is_an_error_with_the_known_names(shell: Shell) -> None:
    shell.connect()
    ended = shell("integrations", "show", "nope")
    assert ended.code == 1
    assert "'nope' (existing: acme)" in ended.err


def test_the_test_checks_token_scopes_and_every_destination(shell: Shell) -> None:
    shell.connect()
    shell.subscribe("--to", "ops")
    shell.subscribe("--to", "lobby")
    ended = shell("integrations", "test", "acme", "--json")
    assert ended.code == 1
    assert ended.json.keys() >= CONTRACT
    checks = {check["name"]: check for check in ended.json["checks"]}
    assert list(checks) == ["token", "connection", "scopes", "#lobby", "#ops"]
    assert [name for name, check in checks.items() if not check["passed"]] == ["#lobby"]
    assert checks["#lobby"]["hint"] == "Type `/invite @infrakitchen` in #lobby."
    assert "1 of 5 checks failed (#lobby)" in ended.err


def test_after_the_invitation_the_test_passes(shell: Shell) -> None:
    shell.connect()
    shell.subscribe("--to", "lobby")
    shell.acme.invite("lobby")
    ended = shell("integrations", "test", "acme")
    assert ended.code == 0
    assert ended.err == ""


def test_the_test_posts_where_it_is_asked_to_and_gives_the_link(shell: Shell) -> None:
    shell.connect()
    ended = shell("integrations", "test", "acme", "--post", "#Ops", "--json")
    assert ended.code == 0
    (message,) = shell.slack.messages("#ops")
    (*_, check) = ended.json["checks"]
    assert check["name"] == "post to #ops"
    assert check["detail"].endswith(f"/p{message['ts'].replace('.', '')}")
    assert "`ik-slack integrations test acme --post '#ops'`" in str(message)


@pytest.mark.parametrize(
    ("where", "detail", "hint"),
    [
        ("#lobby", "@infrakitchen is not a member of #lobby", "Type `/invite @infrakitchen` in #lobby."),
        ("#nowhere", "@infrakitchen cannot see #nowhere", "Otherwise correct"),
        ("unknown@example.com", "No active member of the workspace", "invite this person"),
    ],
)
def test_the_test_shows_the_reason_of_a_failed_post(shell: Shell, where: str, detail: str, hint: str) -> None:
    shell.connect()
    ended = shell("integrations", "test", "acme", "--post", where, "--json")
    assert ended.code == 1
    (*_, check) = ended.json["checks"]
    assert not check["passed"]
    assert detail in check["detail"]
    assert hint in check["hint"]


def test_the_test_posts_nothing_for_an_integration_that_is_switched_off(shell: Shell) -> None:
    shell.connect()
    shell("integrations", "disable", "acme")
    ended = shell("integrations", "test", "acme", "--post", "#ops")
    assert ended.code == 1
    assert "ik-slack integrations enable acme" in ended.out
    assert shell.slack.messages("#ops") == []


def test_the_test_refuses_an_invalid_destination(shell: Shell) -> None:
    shell.connect()
    ended = shell("integrations", "test", "acme", "--post", "two words")
    assert ended.code == 2
    assert "'two words' is not a destination; write #channel" in ended.err


def test_the_test_of_a_revoked_token_names_the_fix(shell: Shell) -> None:
    shell.connect()
    shell.acme.revoke(shell.acme.token)
    ended = shell("integrations", "test", "acme")
    assert ended.code == 1
    assert "The token of acme was revoked" in ended.out
    assert "Reinstall to Workspace" in ended.out


def test_a_test_that_passes_resumes_a_parked_integration(shell: Shell) -> None:
    shell.connect()
    shell.store(
        lambda app: app.integrations.park("acme", "token_revoked", "was revoked", Hint.of("rotate"), probe_s=60)
    )
    assert shell("integrations", "show", "acme", "--json").json["state"] == "parked"
    assert shell("integrations", "test", "acme", "--json").json["state"] == "active"


def test_the_test_notices_scopes_that_were_added_since(shell: Shell) -> None:
    few = shell.acme.add_token(("chat:write",))
    shell("integrations", "add", "acme", "--token", few)
    shell.acme.tokens[few].scopes = shell.acme.tokens[shell.acme.token].scopes
    assert shell("integrations", "test", "acme").code == 0
    assert shell("integrations", "show", "acme", "--json").json["missing_scopes"] == []


def test_a_new_token_of_the_same_workspace_resumes_the_lanes(shell: Shell) -> None:
    shell.connect()
    shell.store(
        lambda app: app.integrations.park("acme", "token_revoked", "was revoked", Hint.of("rotate"), probe_s=60)
    )
    new = shell.acme.add_token()
    ended = shell("integrations", "rotate", "acme", "--token-stdin", "--json", stdin=new)
    assert ended.code == 0
    assert ended.json["state"] == "active"
    assert shell.store(lambda app: app.integrations.get_token("acme")).reveal() == new


def test_a_new_token_that_does_not_work_keeps_the_old_token(shell: Shell) -> None:
    shell.connect()
    assert shell("integrations", "rotate", "acme", "--token", "xoxb-no").code == 1
    assert shell.store(lambda app: app.integrations.get_token("acme")).reveal() == shell.acme.token


def test_another_workspace_is_refused_unless_forced_and_the_old_directory_is_cleared(
    shell: Shell,
) -> None:
    shell.connect()
    subscription = shell.subscribe("--to", "ops")
    other = shell.slack.add_workspace("Other")
    there = other.add_channel("ops")
    ended = shell("integrations", "rotate", "acme", "--token", other.token)
    assert ended.code == 1
    assert "belongs to workspace Acme" in ended.err
    assert shell("integrations", "rotate", "acme", "--token", other.token, "--force", "--json").json["team"] == "Other"
    assert shell("subscriptions", "show", subscription, "--json").json["address"] == ""
    assert shell("channels", "list", "--json").json == []
    assert shell("subscriptions", "test", subscription, "--json").json["channel"] == there.id


def test_a_disabled_integration_stays_disabled_until_it_is_enabled(shell: Shell) -> None:
    shell.connect()
    assert shell("integrations", "disable", "acme").code == 0
    assert shell("integrations", "rotate", "acme", "--token", shell.acme.add_token()).code == 0
    assert "acme is disabled" in shell("integrations", "test", "acme").err
    assert shell("integrations", "show", "acme", "--json").json["state"] == "disabled"
    assert shell("integrations", "enable", "acme").out == "Enabled acme.\n"
    assert "not disabled" in shell("integrations", "enable", "acme").out


def test_no_probe_enables_a_disabled_integration(shell: Shell) -> None:
    async def probes(app: AppContext) -> list[str]:
        await app.integrations.park("acme", "token_revoked", "was revoked", Hint.of("rotate"), probe_s=0)
        await app.integrations.disable("acme", Hint.of("enable it"))
        return await app.schedule.claim_due_probes(again_in_s=60, limit=10)

    shell.connect()
    assert shell.store(probes) == []
    assert shell.store(lambda app: app.integrations.find("acme")).state is Health.DISABLED


def test_an_integration_in_use_is_not_removed_and_its_subscriptions_are_named(shell: Shell) -> None:
    shell.connect()
    subscription = shell.subscribe("--to", "ops")
    ended = shell("integrations", "remove", "acme")
    assert ended.code == 1
    assert f"{subscription} (#ops)" in ended.err
    assert "--with-subscriptions" in ended.err


def test_an_integration_is_removed_with_its_subscriptions_and_their_deliveries(shell: Shell) -> None:
    async def wait(app: AppContext) -> None:
        await app.lanes.append("acme/#ops", [NewDelivery("d1", "e1.s1", subscription, 0)])
        await app.lanes.pin_address("acme/#ops", Address("C1", "#ops"))

    shell.connect()
    subscription = shell.subscribe("--to", "ops")
    shell.store(wait)
    ended = shell("integrations", "remove", "acme", "--with-subscriptions")
    assert ended.out == "Removed integration acme. Discarded 1 pending delivery.\n"
    assert shell("subscriptions", "list", "--json").json == []
    assert shell("integrations", "list", "--json").json == []


@pytest.mark.parametrize("words", [("list",), ("test", "acme"), ("show", "acme")])
def test_a_wrong_encryption_key_is_one_line(shell: Shell, words: tuple[str, ...]) -> None:
    shell.connect()
    shell.env.setenv("ENCRYPTION_KEY", generate_key())
    ended = shell("integrations", *words)
    assert "cannot be decrypted with this ENCRYPTION_KEY" in ended.out + ended.err


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ENCRYPTION_KEY", "bad", "is not a Fernet key"),
        ("REDIS_URL", "redis://127.0.0.1:9", "Redis does not answer"),
        ("REDIS_URL", "", "REDIS_URL is not set"),
    ],
)
def test_a_missing_file_is_one_line(shell: Shell, name: str, value: str, reason: str) -> None:
    shell.env.setenv(name, value)
    ended = shell("integrations", "list")
    assert ended.code == 1
    assert ended.err.startswith("Error: ")
    assert reason in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("command", ["add", "rotate"])
def test_without_an_encryption_key_no_token_is_accepted(shell: Shell, command: str) -> None:
    shell.connect()
    shell.env.setenv("ENCRYPTION_KEY", "")
    ended = shell("integrations", command, "acme", "--token", shell.acme.add_token())
    assert ended.code == 1
    assert "`ik-slack keys generate`" in ended.err
    assert shell.slack.calls["auth.test"] == 1
    assert "To make a key, run `ik-slack keys generate`" in shell("integrations", "list").out


def test_slack_out_of_reach_is_one_line(shell: Shell) -> None:
    shell.env.setenv("SLACK_API_URL", UNREACHABLE_URL)
    ended = shell("integrations", "add", "acme", "--token", shell.acme.token)
    assert ended.code == 1
    assert "Slack could not be reached" in ended.err
    assert "Check the network" in ended.err
