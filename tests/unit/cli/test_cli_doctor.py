"""`ik-slack doctor`: one line a check with its fix, also when servers do not answer, and never a traceback."""

import os
import socket
import time
from collections.abc import Iterator

import pytest
from support.cli import (
    UNREACHABLE_URL,
    CommandResult,
    Shell,
    create_dead_letter,
    deliver,
    ingest,
    publish,
    record_heartbeats,
    set_up,
)
from support.events import failed_workflow
from support.people import get_user

from worker.cli import doctor as commands
from worker.services import diagnostics as checks
from worker.services import diagnostics as slack_checks
from worker.store.token_cipher import generate_key

pytestmark = pytest.mark.slow


@pytest.fixture
def healthy(shell: Shell) -> Shell:
    return set_up(shell)


@pytest.fixture
def silent() -> Iterator[str]:
    """Serve connections without ever answering."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def found(ended: CommandResult) -> dict[str, dict]:
    return {one["check"]: one for one in ended.json}


def failed(shell: Shell) -> dict[str, str]:
    """Return the fix of each failed check."""
    ended = shell("doctor", "--json")
    assert "Traceback" not in ended.err
    wrong = {one["check"]: one["fix"] for one in ended.json if not one["ok"]}
    assert ended.code == (1 if wrong else 0)
    return wrong


def test_a_healthy_installation_passes_every_check(healthy: Shell) -> None:
    ended = healthy("doctor")
    assert (ended.code, ended.err) == (0, "")
    assert {line[0] for line in ended.out.splitlines()} == {"✓"}
    one = healthy("doctor", "--json").json[0]
    assert set(one) == {"check", "ok", "detail", "fix", "level"}
    assert list(found(healthy("doctor", "--json"))) == [
        "Redis", "persistence", "eviction", "data", "broker", "key ring", "acme: token", "acme: connection",
        "acme: scopes", "acme: #ops", "subscriptions", "worker", "ingest", "stream", "backlog",
        "dead letters", "parked", "events lost", "ledger", "secrets",
    ]  # fmt: skip


def test_processes_that_do_not_run_fail_with_the_command_that_starts_them(shell: Shell) -> None:
    shell.connect()
    assert failed(shell) == dict.fromkeys(("worker", "ingest"), str(checks.START))
    ended = shell("doctor")
    assert "✗ worker" in ended.out
    assert ended.err.startswith("Error: 2 of ")


def test_without_an_integration_the_finding_names_the_command_that_adds_one(shell: Shell) -> None:
    record_heartbeats(shell, "worker", "ingest")
    assert failed(shell) == {"integrations": "To add one, run `ik-slack integrations add NAME`."}


def test_a_channel_without_the_bot_fails_with_the_invite_command(healthy: Shell) -> None:
    healthy.subscribe("--to", "#lobby")
    assert failed(healthy) == {"acme: #lobby": "Type `/invite @infrakitchen` in #lobby."}
    healthy.acme.invite("lobby")
    assert failed(healthy) == {}


def test_every_destination_is_checked_without_the_cache(healthy: Shell) -> None:
    healthy.subscribe("--to", "ada@example.com")
    assert failed(healthy) == {}
    healthy.acme.kick("ops")
    assert list(failed(healthy)) == ["acme: #ops"]


def test_a_destination_that_does_not_exist_is_searched_in_the_directory(healthy: Shell) -> None:
    healthy.subscribe("--to", "#nowhere")
    assert list(failed(healthy)) == ["acme: #nowhere"]


def test_a_directory_that_is_being_read_is_no_failure(healthy: Shell) -> None:
    healthy.subscribe("--to", "#nowhere")
    healthy.store(lambda app: app.directory.clear("acme"))
    healthy.store(lambda app: app.processes.lock("directory:acme", "another", 60_000))
    assert failed(healthy) == {}
    assert found(healthy("doctor", "--json"))["acme: #nowhere"]["level"] == "note"


def test_a_missing_scope_is_named(healthy: Shell) -> None:
    token = healthy.acme.add_token(scopes=("chat:write", "channels:read"))
    healthy("integrations", "rotate", "acme", "--token-stdin", stdin=token)
    assert "Add groups:read, users:read, users:read.email" in failed(healthy)["acme: scopes"]


def test_a_revoked_token_is_one_failure_with_its_fix_although_it_parks_the_integration(
    healthy: Shell,
) -> None:
    healthy.acme.revoke(healthy.acme.token)
    deliver(healthy, failed_workflow())
    wrong = failed(healthy)
    assert set(wrong) == {"acme: connection"}
    assert "`ik-slack integrations rotate acme`" in wrong["acme: connection"]
    assert found(healthy("doctor", "--json"))["parked"]["level"] == "note"


def test_a_lost_scope_is_one_failure_with_its_fix_although_it_parks_the_integration(healthy: Shell) -> None:
    healthy.acme.tokens[healthy.acme.token].scopes = ("channels:read", "groups:read")
    deliver(healthy, failed_workflow())
    assert healthy("integrations", "show", "acme", "--json").json["state"] == "parked"
    wrong = failed(healthy)
    assert set(wrong) == {"acme: scopes"}
    assert "Add chat:write, users:read, users:read.email" in wrong["acme: scopes"]


def test_an_integration_parked_for_another_cause_than_the_token_has_a_failure(healthy: Shell) -> None:
    for method in ("chat.postMessage", "auth.test"):
        healthy.slack.fault("access_denied", method=method)
    deliver(healthy, failed_workflow())
    assert "Ask an administrator" in failed(healthy)["acme"]


def test_a_lane_that_only_a_post_can_probe_is_a_failure_until_it_resumes(healthy: Shell) -> None:
    healthy.slack.fault("restricted_action")
    deliver(healthy, failed_workflow())
    assert failed(healthy) == {
        "acme: #ops": "Let @infrakitchen post in #ops, or point the subscription at another channel."
    }
    assert healthy("integrations", "test", "acme").code == 1
    healthy.store(lambda app: app.lanes.resume("acme/#ops", permanently=False))
    assert set(failed(healthy)) == {"acme: #ops"}, "it only tries once more"
    deliver(healthy, failed_workflow("another"))
    assert failed(healthy) == {}


def use_up_look_ups(shell: Shell) -> None:
    """Use up the rate limit of look-ups for the next minute."""
    team = shell.acme.team_id
    shell.store(lambda app: app.rate_limiter.close_method(team, "conversations.info", 60))


def test_while_slack_must_not_be_asked_the_cached_channel_is_used(healthy: Shell) -> None:
    use_up_look_ups(healthy)
    assert failed(healthy) == {}
    assert found(healthy("doctor", "--json"))["acme: #ops"]["level"] == "ok"
    assert healthy("integrations", "test", "acme").code == 0


def test_while_slack_must_not_be_asked_the_lanes_last_error_is_shown(healthy: Shell) -> None:
    healthy.acme.kick("ops")
    deliver(healthy, failed_workflow())
    use_up_look_ups(healthy)
    assert failed(healthy) == {"acme: #ops": "Type `/invite @infrakitchen` in #ops."}


def test_an_unreachable_person_is_a_failure_before_the_first_delivery(healthy: Shell) -> None:
    gone, bot = (healthy.acme.add_user(f"{name}@example.com") for name in ("gone", "bot"))
    gone.deleted, bot.is_bot = True, True
    for one in (gone.id, bot.id, "U0000000000", get_user(healthy.acme, "ada@example.com").id):
        healthy.subscribe("--to", one)
    assert set(failed(healthy)) == {f"acme: {one}" for one in (gone.id, bot.id, "U0000000000")}
    warned = healthy("subscriptions", "add", "--to", gone.id, "--kind", "alert").err
    assert f"The account of {gone.id} is deactivated" in warned


def test_a_disabled_integration_is_a_note(healthy: Shell) -> None:
    healthy("integrations", "disable", "acme")
    assert failed(healthy) == {}
    assert "! acme" in healthy("doctor").out


def test_a_key_that_decrypts_no_token_fails_and_the_other_checks_run(healthy: Shell) -> None:
    healthy.env.setenv("ENCRYPTION_KEY", generate_key())
    wrong = failed(healthy)
    assert list(wrong) == ["installation", "acme: key"]
    assert "Put that key back" in wrong["acme: key"]


@pytest.mark.parametrize(("ring", "words"), [("", "is not set"), ("zz", "is not a Fernet key")])
def test_an_invalid_key_ring_fails_with_the_command_that_makes_a_key(healthy: Shell, ring: str, words: str) -> None:
    healthy.env.setenv("ENCRYPTION_KEY", ring)
    wrong = failed(healthy)
    assert list(wrong) == ["key ring"]
    assert any(words in line["detail"] for line in healthy("doctor", "--json").json)
    assert "`ik-slack keys generate`" in wrong["key ring"]


def test_parked_lanes_and_dead_letters_are_notes(healthy: Shell) -> None:
    create_dead_letter(healthy)
    publish(healthy, failed_workflow("unread"))
    assert failed(healthy) == {}
    notes = {one["check"]: one for one in healthy("doctor", "--json").json if one["level"] == "note"}
    assert set(notes) == {"dead letters"}
    assert notes["dead letters"]["detail"] == "1"
    assert found(healthy("doctor", "--json"))["stream"]["detail"] == "1 unread entry"


def test_a_lane_near_a_limit_is_a_note_with_the_consequence(healthy: Shell) -> None:
    healthy.env.setenv("LANE_MAX_LENGTH", "5")
    ingest(healthy, *(failed_workflow(f"deploy-{number}") for number in range(4)))
    note = found(healthy("doctor", "--json"))["acme/#ops: length"]
    assert (note["level"], note["detail"]) == ("note", "4 of at most 5 deliveries wait")
    assert note["fix"].startswith(
        "When the lane is full, its oldest deliveries become dead letters (overflow). To see why"
    )
    assert failed(healthy) == {}


def test_a_long_unread_stream_is_a_note(healthy: Shell) -> None:
    healthy.env.setattr(checks, "MAX_UNREAD", 0)
    publish(healthy, failed_workflow("unread"))
    assert found(healthy("doctor", "--json"))["stream"]["level"] == "note"


def test_a_ledger_that_does_not_balance_fails(healthy: Shell) -> None:
    healthy.store(lambda app: app.redis.command("HINCRBY", "ik:ledger", "delivered", 1))
    assert list(failed(healthy)) == ["ledger"]


def test_eviction_and_a_missing_append_only_file_fail(healthy: Shell) -> None:
    def configure(*words: str) -> None:
        healthy.store(lambda app: app.redis.command("CONFIG", "SET", *words))

    try:
        configure("maxmemory-policy", "allkeys-lru")
        configure("appendonly", "no")
        wrong = failed(healthy)
        assert set(wrong) == {"persistence", "eviction"}
        assert "appendonly yes" in wrong["persistence"]
        assert "noeviction" in wrong["eviction"]
    finally:
        configure("maxmemory-policy", "noeviction")
        configure("appendonly", "yes")


@pytest.mark.parametrize(
    ("said", "check", "level"),
    [
        ({"redis_version": "6.0.16"}, "Redis", "failed"),
        ({"redis_version": "7.0.15", "role": "slave"}, "Redis", "failed"),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.1"}, "Redis", "ok"),
        ({"redis_version": "6.2.0"}, "Redis", "ok"),
        ({}, "Redis", "note"),
        ({}, "persistence", "note"),
        ({}, "eviction", "note"),
        ({"aof_enabled": "1", "aof_last_write_status": "err"}, "persistence", "failed"),
        ({"used_memory": "799", "maxmemory": "1000"}, "memory", "ok"),
        ({"used_memory": "800", "maxmemory": "1000"}, "memory", "note"),
        ({"used_memory": "1000", "maxmemory": "1000"}, "memory", "failed"),
    ],
)
def test_the_findings_about_redis_follow_its_info(healthy: Shell, said: dict[str, str], check: str, level: str) -> None:
    async def info(_server: object, _section: str) -> dict[str, str]:
        return said

    healthy.env.setattr("worker.store.redis_client.RedisClient.info", info)
    assert found(healthy("doctor", "--json"))[check]["level"] == level


def test_a_server_that_hides_its_settings_is_no_failure(healthy: Shell) -> None:
    async def no_info(app: object) -> None:
        await app.redis.command("ACL", "SETUSER", "limited", "on", ">secret", "~*", "+@all", "&*", "-info")

    healthy.store(no_info)
    address = os.environ["REDIS_URL"].rpartition("@")[2]
    healthy.env.setenv("REDIS_URL", f"redis://limited:secret@{address}")
    try:
        assert failed(healthy) == {}
        assert found(healthy("doctor", "--json"))["Redis"]["level"] == "note"
    finally:
        healthy.store(lambda app: app.redis.command("ACL", "SETUSER", "limited", "+info"))


def test_lost_data_and_data_of_a_newer_version_fail(healthy: Shell) -> None:
    def note(**fields: int) -> None:
        healthy.store(lambda app: app.redis.redis.hset("ik:origin", mapping=fields))

    note(lost=int(time.time() * 1000))
    assert found(healthy("doctor", "--json"))["data"]["level"] == "note"
    note(lost=1)
    assert found(healthy("doctor", "--json"))["data"]["level"] == "ok"
    note(layout=99)
    assert "install the newer version again" in failed(healthy)["data"]


def test_with_redis_down_the_other_checks_run(healthy: Shell) -> None:
    healthy.env.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    assert list(failed(healthy)) == ["Redis", "broker"]
    seen = found(healthy("doctor", "--json"))
    assert seen["key ring"]["ok"]
    assert seen["Slack"]["ok"]
    assert seen["other checks"]["level"] == "note"


def test_with_the_broker_down_only_that_fails(healthy: Shell) -> None:
    healthy.env.setenv("BROKER_URL", "redis://127.0.0.1:9/0")
    assert list(failed(healthy)) == ["broker"]


def test_with_slack_down_the_other_checks_run(healthy: Shell) -> None:
    healthy.env.setenv("SLACK_API_URL", UNREACHABLE_URL)
    assert list(failed(healthy)) == ["acme: connection"]


def test_with_redis_and_slack_down_both_fail(healthy: Shell) -> None:
    healthy.env.setenv("SLACK_API_URL", UNREACHABLE_URL)
    healthy.env.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    assert list(failed(healthy)) == ["Redis", "broker", "Slack"]


def test_silent_servers_do_not_delay_the_doctor(healthy: Shell, silent: str) -> None:
    for module, name, seconds in (
        (checks, "CHECK_S", 0.2), (commands, "CLOSE_TIMEOUT_S", 0.05), (slack_checks, "TOKEN_S", 0.2),
    ):  # fmt: skip
        healthy.env.setattr(module, name, seconds)
    healthy.env.setenv("SLACK_API_URL", f"http://{silent}/api/")
    assert list(failed(healthy)) == ["acme: connection"]
    healthy.env.setenv("REDIS_URL", f"redis://{silent}/0")
    assert list(failed(healthy)) == ["Redis", "broker", "Slack"]


def test_a_silent_channel_check_does_not_delay_the_doctor(healthy: Shell) -> None:
    healthy.env.setattr(slack_checks, "DESTINATION_S", 0.2)
    healthy.slack.fault("hang", method="conversations.info", times=0)
    assert list(failed(healthy)) == ["acme: #ops"]
    healthy.slack.faults.clear()


def test_invalid_settings_are_a_failed_check(shell: Shell) -> None:
    shell.env.setenv("REDIS_URL", "nonsense")
    assert list(failed(shell)) == ["settings"]


def test_without_redis_url_the_finding_names_the_setting(shell: Shell) -> None:
    shell.env.delenv("REDIS_URL")
    wrong = failed(shell)
    assert list(wrong) == ["Redis"]
    assert "set REDIS_URL" in wrong["Redis"]
