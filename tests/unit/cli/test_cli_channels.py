"""`ik-slack channels`: the directory, its age, and its refresh."""

import pytest
from support.cli import UNREACHABLE_URL, Shell

from worker.bootstrap.context import AppContext


def test_before_the_first_refresh_the_list_names_the_command(shell: Shell) -> None:
    shell.connect()
    ended = shell("channels", "list")
    assert ended.code == 0
    assert "`ik-slack channels refresh acme`" in ended.out


def test_refresh_prints_its_pages_and_shows_progress_on_stderr(shell: Shell) -> None:
    shell.connect()
    ended = shell("channels", "refresh")
    assert ended.out == "Read 2 channels of acme in 2 pages.\n"
    pages = [line.rpartition(", ")[0] for line in ended.err.splitlines()]
    assert pages == ["Page 1: 2 channels so far", "Page 2: 2 channels so far"]
    assert shell("channels", "refresh", "acme", "--json").json == {
        "integration": "acme", "pages": 2, "channels": 2
    }  # fmt: skip


def test_the_list_shows_the_directory_and_its_age(shell: Shell) -> None:
    shell.acme.add_channel("old", archived=True)
    shell.acme.add_channel("team", private=True)
    shell.connect()
    shell("channels", "refresh")
    shell.acme.add_channel("later")
    lines = shell("channels", "list", "acme").out.splitlines()
    found = {line.split()[0]: line for line in lines if line.startswith("#")}
    assert list(found) == ["#lobby", "#old", "#ops", "#team"]
    assert "not a member" in found["#lobby"]
    assert "archived" in found["#old"]
    assert "private" in found["#team"]
    assert lines[-1].startswith("acme: 4 channels, read ")


def test_the_list_can_show_only_channels_with_the_bot(shell: Shell) -> None:
    shell.connect()
    shell("channels", "refresh")
    [only] = shell("channels", "list", "--member", "--json").json
    assert only["name"] == "ops"
    assert only["integration"] == "acme"
    assert (only["is_member"], only["is_private"], only["is_archived"]) == (True, False, False)


def test_with_several_integrations_one_must_be_named(shell: Shell) -> None:
    shell.connect("one")
    shell.connect("two")
    ended = shell("channels", "refresh")
    assert ended.code == 2
    assert "one, two" in ended.err


def test_without_an_integration_a_refresh_is_an_error(shell: Shell) -> None:
    assert "There is no integration yet" in shell("channels", "list").out
    assert shell("channels", "refresh").code == 1


@pytest.mark.slow
def test_a_refresh_waits_for_the_refresh_of_another_worker(shell: Shell) -> None:
    shell.connect()
    shell.store(lambda app: app.processes.lock("directory:acme", "another", 3_000))
    ended = shell("channels", "refresh")
    assert ended.code == 0
    assert ended.err.startswith("Waiting: the channels of the workspace are being read\n")


def test_slack_out_of_reach_is_one_line(shell: Shell) -> None:
    shell.connect()
    shell.env.setenv("SLACK_API_URL", UNREACHABLE_URL)
    ended = shell("channels", "refresh")
    assert ended.code == 1
    assert ended.err.startswith("Error: Slack rejected the call: Slack could not be reached")


def test_a_refresh_uses_the_pages_that_a_worker_reads_meanwhile(shell: Shell) -> None:
    shell.connect()

    async def read_in_a_moment(app: AppContext) -> None:
        at_ms = await app.redis.now_ms() + 60_000
        key = app.redis.keys.directory("acme", "meta")
        await app.redis.command("HSET", key, "read_at_ms", at_ms, "pages", 7)

    shell.store(read_in_a_moment)
    assert shell("channels", "refresh").out == "Read 0 channels of acme in 7 pages.\n"
    assert shell.slack.calls["conversations.list"] == 0


def test_a_refresh_knows_about_how_many_pages_there_are(shell: Shell) -> None:
    shell.connect()
    shell("channels", "refresh")
    assert shell("channels", "refresh").err.startswith("Page 1 of about 2: 2 channels so far, ")


def test_a_refresh_that_slack_delays_too_long_names_when_to_retry(shell: Shell) -> None:
    shell.connect()
    shell.slack.fault("ratelimited", method="conversations.list", retry_after=600)
    ended = shell("channels", "refresh")
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == (
        "Error: The channels of acme were not read (Slack asks to wait before conversations.list): "
        "try again in 10 min. Until then the channels that were read before are used."
    )


@pytest.mark.slow
def test_a_refresh_does_not_wait_for_ever_for_a_reader_without_a_sign_of_life(shell: Shell) -> None:
    shell.connect()
    shell.store(lambda app: app.processes.lock("directory:acme", "another", 60_000))
    shell.env.setattr("worker.cli.channels.STALL_TIMEOUT_S", 3.5)
    ended = shell("channels", "refresh")
    assert ended.code == 1
    assert "(the channels of the workspace are being read): try again in a minute" in ended.err


def test_during_a_refresh_the_list_shows_its_progress(shell: Shell) -> None:
    shell.connect()
    shell("channels", "refresh")
    shell.store(lambda app: app.processes.lock("directory:acme", "another", 60_000))
    last = shell("channels", "list").out.splitlines()[-1]
    assert last.startswith("acme: 2 channels, read ")
    assert last.endswith(" ago. A refresh is running: 0 so far.")
