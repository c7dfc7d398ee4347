"""Doctor: one line a check with its mend, whatever does not answer, and never a traceback."""

import os
import socket
import time
from collections.abc import Iterator

import pytest
from cli_shell import NOWHERE, Ended, Shell
from inspecting import alive, dead, event, ingest, publish, told

from worker.asking import checks, slack_checks
from worker.cli import doctor
from worker.store.vault import generate_key


@pytest.fixture
def healthy(shell: Shell) -> Shell:
    shell.connect()
    shell.subscribe("--to", "#ops")
    alive(shell, "worker", "ingest")
    return shell


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def found(ended: Ended) -> dict[str, dict]:
    return {one["check"]: one for one in ended.json}


def failed(shell: Shell) -> dict[str, str]:
    """What is not well, with the mend."""
    ended = shell("doctor", "--json")
    assert "Traceback" not in ended.err
    wrong = {one["check"]: one["mend"] for one in ended.json if not one["ok"]}
    assert ended.code == (1 if wrong else 0)
    return wrong


def test_a_healthy_installation_passes_every_check(healthy: Shell) -> None:
    ended = healthy("doctor")
    assert (ended.code, ended.err) == (0, "")
    assert {line[0] for line in ended.out.splitlines()} == {"✓"}
    one = healthy("doctor", "--json").json[0]
    assert set(one) == {"check", "ok", "detail", "mend", "level"}
    assert list(found(healthy("doctor", "--json"))) == [
        "Redis", "persistence", "eviction", "data", "broker", "key ring", "acme: token", "acme: connection",
        "acme: scopes", "acme: #ops", "subscriptions", "worker", "ingest", "stream", "backlog",
        "dead letters", "parked", "ledger",
    ]  # fmt: skip


def test_processes_that_do_not_run_fail_with_the_command_that_starts_them(shell: Shell) -> None:
    shell.connect()
    assert failed(shell) == {"worker": checks.START, "ingest": checks.START}
    ended = shell("doctor")
    assert "✗ worker" in ended.out
    assert ended.err.startswith("Error: 2 of ")


def test_without_an_integration_it_says_how_to_add_one(shell: Shell) -> None:
    alive(shell, "worker", "ingest")
    assert failed(shell) == {"integrations": "Add one with `ik-slack integrations add NAME`."}


def test_a_channel_the_bot_is_not_in_fails_with_the_line_to_paste(healthy: Shell) -> None:
    healthy.subscribe("--to", "#lobby")
    assert failed(healthy) == {"acme: #lobby": "Type `/invite @infrakitchen` in #lobby."}
    healthy.acme.invite("lobby")
    assert failed(healthy) == {}


def test_every_destination_is_looked_at_anew(healthy: Shell) -> None:
    healthy.subscribe("--to", "ada@example.com")
    assert failed(healthy) == {}
    healthy.acme.kick("ops")
    assert list(failed(healthy)) == ["acme: #ops"]


def test_a_destination_that_does_not_exist_is_looked_for_in_the_directory(healthy: Shell) -> None:
    healthy.subscribe("--to", "#nowhere")
    assert list(failed(healthy)) == ["acme: #nowhere"]


def test_a_directory_that_is_being_read_is_no_fault(healthy: Shell) -> None:
    healthy.subscribe("--to", "#nowhere")
    healthy.store(lambda made: made.directory.forget("acme"))
    healthy.store(lambda made: made.upkeep.lock("directory:acme", "another", 60_000))
    assert failed(healthy) == {}
    assert found(healthy("doctor", "--json"))["acme: #nowhere"]["level"] == "note"


def test_a_missing_scope_is_named(healthy: Shell) -> None:
    token = healthy.acme.add_token(scopes=("chat:write", "channels:read"))
    healthy("integrations", "rotate", "acme", "--token-stdin", stdin=token)
    assert "Add groups:read, users:read, users:read.email" in failed(healthy)["acme: scopes"]


def test_a_revoked_token_is_one_fault_with_its_step_although_it_parks_the_integration(
    healthy: Shell,
) -> None:
    healthy.acme.revoke(healthy.acme.token)
    told(healthy, event())
    wrong = failed(healthy)
    assert set(wrong) == {"acme: connection"}
    assert "`ik-slack integrations rotate acme`" in wrong["acme: connection"]
    assert found(healthy("doctor", "--json"))["parked"]["level"] == "note"


def test_a_lost_scope_is_one_fault_with_its_step_although_it_parks_the_integration(healthy: Shell) -> None:
    healthy.acme.tokens[healthy.acme.token].scopes = ("channels:read", "groups:read")
    told(healthy, event())
    assert healthy("integrations", "show", "acme", "--json").json["state"] == "parked"
    wrong = failed(healthy)
    assert set(wrong) == {"acme: scopes"}
    assert "Add chat:write, users:read, users:read.email" in wrong["acme: scopes"]


def test_an_integration_parked_for_what_the_token_does_not_tell_says_why(healthy: Shell) -> None:
    healthy.slack.fault("access_denied")
    told(healthy, event())
    assert "Ask an administrator" in failed(healthy)["acme"]


def test_a_lane_that_only_a_post_can_try_is_a_fault_until_it_goes_on(healthy: Shell) -> None:
    healthy.slack.fault("restricted_action")
    told(healthy, event())
    assert failed(healthy) == {
        "acme: #ops": "Let @infrakitchen post in #ops, or point the subscription at another channel."
    }
    assert healthy("integrations", "test", "acme").code == 1
    healthy.store(lambda made: made.lanes.resume("acme/#ops", certain=False))
    assert set(failed(healthy)) == {"acme: #ops"}, "it only tries once more"
    told(healthy, event("another"))
    assert failed(healthy) == {}


def no_more_questions(shell: Shell) -> None:
    """Our own allowance of look-ups is used up for the next minute."""
    team = shell.acme.team_id
    shell.store(lambda made: made.allowances.close_method(team, "conversations.info", 60))


def test_while_slack_may_not_be_asked_what_is_remembered_of_a_channel_will_do(healthy: Shell) -> None:
    no_more_questions(healthy)
    assert failed(healthy) == {}
    assert found(healthy("doctor", "--json"))["acme: #ops"]["level"] == "ok"
    assert healthy("integrations", "test", "acme").code == 0


def test_while_slack_may_not_be_asked_a_lane_says_what_it_met(healthy: Shell) -> None:
    healthy.acme.kick("ops")
    told(healthy, event())
    no_more_questions(healthy)
    assert failed(healthy) == {"acme: #ops": "Type `/invite @infrakitchen` in #ops."}


def test_a_person_who_cannot_be_told_is_a_fault_before_there_is_anything_to_tell(healthy: Shell) -> None:
    gone, bot = (healthy.acme.add_user(f"{name}@example.com") for name in ("gone", "bot"))
    gone.deleted, bot.is_bot = True, True
    for one in (gone.id, bot.id, "U0000000000", healthy.acme.user("ada@example.com").id):
        healthy.subscribe("--to", one)
    assert set(failed(healthy)) == {f"acme: {one}" for one in (gone.id, bot.id, "U0000000000")}
    warned = healthy("subscriptions", "add", "--to", gone.id, "--kind", "alert").err
    assert f"The account of {gone.id} is deactivated" in warned


def test_a_disabled_integration_is_a_note(healthy: Shell) -> None:
    healthy("integrations", "disable", "acme")
    assert failed(healthy) == {}
    assert "! acme" in healthy("doctor").out


def test_a_key_that_opens_no_token_says_so_and_the_rest_is_looked_at(healthy: Shell) -> None:
    healthy.env.setenv("ENCRYPTION_KEY", generate_key())
    wrong = failed(healthy)
    assert list(wrong) == ["acme: key"]
    assert "ENCRYPTION_KEY is not the key it was sealed with" in wrong["acme: key"]


@pytest.mark.parametrize(("ring", "words"), [("", "is not set"), ("zz", "is not a Fernet key")])
def test_a_key_ring_that_is_none_says_how_to_make_one(healthy: Shell, ring: str, words: str) -> None:
    healthy.env.setenv("ENCRYPTION_KEY", ring)
    wrong = failed(healthy)
    assert list(wrong) == ["key ring"]
    assert words in wrong["key ring"]
    assert "`ik-slack keys generate`" in wrong["key ring"]


def test_what_waits_and_what_died_are_notes(healthy: Shell) -> None:
    dead(healthy)
    publish(healthy, event("unread"))
    assert failed(healthy) == {}
    notes = {one["check"]: one for one in healthy("doctor", "--json").json if one["level"] == "note"}
    assert set(notes) == {"dead letters"}
    assert notes["dead letters"]["detail"] == "1"
    assert found(healthy("doctor", "--json"))["stream"]["detail"] == "1 entry not read yet"


def test_a_lane_that_comes_near_a_limit_is_a_note_with_what_will_happen(healthy: Shell) -> None:
    healthy.env.setenv("LANE_MAX_LENGTH", "5")
    ingest(healthy, *(event(f"deploy-{number}") for number in range(4)))
    note = found(healthy("doctor", "--json"))["acme/#ops: length"]
    assert (note["level"], note["detail"]) == ("note", "4 of at most 5 deliveries wait")
    assert note["mend"].startswith("When it is full, its oldest become dead letters (overflow). See why")
    assert failed(healthy) == {}


def test_a_long_unread_stream_is_a_note(healthy: Shell) -> None:
    healthy.env.setattr(checks, "MUCH_UNREAD", 0)
    publish(healthy, event("unread"))
    assert found(healthy("doctor", "--json"))["stream"]["level"] == "note"


def test_a_ledger_that_does_not_balance_fails(healthy: Shell) -> None:
    healthy.store(lambda made: made.server.command("HINCRBY", "ik:ledger", "delivered", 1))
    assert list(failed(healthy)) == ["ledger"]


def test_eviction_and_a_missing_append_only_file_fail(healthy: Shell) -> None:
    def configure(*words: str) -> None:
        healthy.store(lambda made: made.server.command("CONFIG", "SET", *words))

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
def test_what_a_server_says_of_itself(healthy: Shell, said: dict[str, str], check: str, level: str) -> None:
    async def info(_upkeep: object, _section: str) -> dict[str, str]:
        return said

    healthy.env.setattr("worker.store.upkeep.Upkeep.info", info)
    assert found(healthy("doctor", "--json"))[check]["level"] == level


def test_a_server_that_does_not_let_us_read_its_settings_is_no_fault(healthy: Shell) -> None:
    async def no_info(made: object) -> None:
        await made.server.command("ACL", "SETUSER", "limited", "on", ">secret", "~*", "+@all", "-info")

    healthy.store(no_info)
    address = os.environ["REDIS_URL"].rpartition("@")[2]
    healthy.env.setenv("REDIS_URL", f"redis://limited:secret@{address}")
    try:
        assert failed(healthy) == {}
        assert found(healthy("doctor", "--json"))["Redis"]["level"] == "note"
    finally:
        healthy.store(lambda made: made.server.command("ACL", "SETUSER", "limited", "+info"))


def test_data_that_were_lost_or_are_of_a_newer_version_are_said(healthy: Shell) -> None:
    def note(**fields: int) -> None:
        healthy.store(lambda made: made.server.redis.hset("ik:origin", mapping=fields))

    note(lost=int(time.time() * 1000))
    assert found(healthy("doctor", "--json"))["data"]["level"] == "note"
    note(lost=1)
    assert found(healthy("doctor", "--json"))["data"]["level"] == "ok"
    note(layout=99)
    assert "install the newer version again" in failed(healthy)["data"]


def test_with_redis_down_the_rest_is_looked_at(healthy: Shell) -> None:
    healthy.env.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    assert list(failed(healthy)) == ["Redis", "broker"]
    seen = found(healthy("doctor", "--json"))
    assert seen["key ring"]["ok"]
    assert seen["Slack"]["ok"]
    assert "was not looked at" in seen["the rest"]["detail"]


def test_with_the_broker_down_only_that_fails(healthy: Shell) -> None:
    healthy.env.setenv("BROKER_URL", "redis://127.0.0.1:9/0")
    assert list(failed(healthy)) == ["broker"]


def test_with_slack_down_the_rest_is_looked_at(healthy: Shell) -> None:
    healthy.env.setenv("SLACK_API_URL", NOWHERE)
    assert list(failed(healthy)) == ["acme: connection"]


def test_with_both_down_both_are_said(healthy: Shell) -> None:
    healthy.env.setenv("SLACK_API_URL", NOWHERE)
    healthy.env.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    assert list(failed(healthy)) == ["Redis", "broker", "Slack"]


def test_servers_that_are_silent_are_not_waited_for(healthy: Shell, silent: str) -> None:
    for module, name, seconds in (
        (checks, "LOOK_S", 0.2), (doctor, "CLOSE_S", 0.05), (slack_checks, "TOKEN_S", 0.2),
    ):  # fmt: skip
        healthy.env.setattr(module, name, seconds)
    healthy.env.setenv("SLACK_API_URL", f"http://{silent}/api/")
    assert list(failed(healthy)) == ["acme: connection"]
    healthy.env.setenv("REDIS_URL", f"redis://{silent}/0")
    assert list(failed(healthy)) == ["Redis", "broker", "Slack"]


def test_a_channel_slack_says_nothing_of_is_not_waited_for(healthy: Shell) -> None:
    healthy.env.setattr(slack_checks, "CHANNELS_S", 0.2)
    healthy.slack.fault("hang", method="conversations.info", times=0)
    assert list(failed(healthy)) == ["acme: #ops"]
    healthy.slack.faults.clear()


def test_settings_that_cannot_be_used_are_a_check_too(shell: Shell) -> None:
    shell.env.setenv("REDIS_URL", "nonsense")
    assert list(failed(shell)) == ["settings"]


def test_without_an_address_of_redis_it_says_how_to_give_one(shell: Shell) -> None:
    shell.env.delenv("REDIS_URL")
    wrong = failed(shell)
    assert list(wrong) == ["Redis"]
    assert "set REDIS_URL" in wrong["Redis"]
