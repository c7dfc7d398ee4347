"""Tables in a terminal of 80 columns keep ids whole and words unbroken; in a pipe a row is one line."""

from types import SimpleNamespace

import pytest
from support.cli import Shell, deliver, reject_next_messages
from support.events import failed_workflow

from worker.cli.output import print_prose, print_table

WORDS = "invalid_blocks: Slack rejected the structure of the message, as one of its blocks is wrong"
ROW = ("3f9a0c6b1d2e4f5a6b7c", "2026-11-30 23:40:13", "dead", "critical", "acme/#team-payments", "deploy-4711", WORDS)
COLUMNS = ("Id", "Created", "State", "Severity", "Lane", "Event", "Note")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Print as to a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("worker.cli.output.sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True)))


@pytest.mark.usefixtures("terminal")
def test_columns_that_do_not_fit_are_below_each_row_with_whole_words(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, [ROW, ROW], empty="")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1] == "3f9a0c6b1d2e4f5a6b7c  2026-11-30 23:40:13  dead   critical  acme/#team-payments"
    words = {word for line in lines for word in line.split()}
    assert set(" ".join(ROW).split()) <= words
    assert lines[2].startswith("    event: deploy-4711 · note: ")


@pytest.mark.usefixtures("terminal")
def test_a_table_that_fits_has_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("Id", "Name"), [("1", "ops"), ("2", "日本")], empty="")
    assert capsys.readouterr().out == "Id  Name\n1   ops\n2   日本\n"


@pytest.mark.usefixtures("terminal")
def test_an_id_that_is_wider_than_the_terminal_stays_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("Id", "Name"), [("x" * 100, "y" * 100)], empty="")
    out = capsys.readouterr().out
    assert "x" * 100 in out
    assert "y" * 100 in out


def test_in_a_pipe_a_row_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, [ROW], empty="")
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.usefixtures("terminal")
def test_prose_is_broken_between_words(capsys: pytest.CaptureFixture[str]) -> None:
    print_prose(WORDS, first="! ", indent="  ")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert " ".join(line.strip(" !") for line in lines) == WORDS


def test_deliveries_are_filtered_by_channel_severity_and_time(connected: Shell) -> None:
    for to in ("#ops", "ada@example.com"):
        connected.subscribe("--to", to)
    deliver(connected, failed_workflow())

    def lanes(*words: str) -> list[str]:
        return sorted(row["lane"] for row in connected("deliveries", "list", *words, "--json").json)

    channel = connected.acme.get_channel("ops").id
    assert lanes() == ["acme/#ops", "acme/ada@example.com"]
    for words in (("--lane", "#ops"), ("--lane", "acme/#ops"), ("--channel", "ops"), ("--channel", channel)):
        assert lanes(*words) == ["acme/#ops"], words
    assert len(lanes("--severity", "error", "--since", "1h")) == 2
    assert lanes("--severity", "critical", "--severity", "info") == []
    assert lanes("--since", "2999-01-01") == []
    assert "did you mean acme/#ops" in connected("deliveries", "list", "--lane", "acme/#opss").err
    wrong = connected("deliveries", "list", "--since", "soon")
    assert (wrong.code, "30m, 2h or 3d" in wrong.err) == (2, True)
    assert "error" in connected("deliveries", "list", "--state", "delivered").out


def test_a_channel_that_was_deleted_since_the_directory_was_read_is_not_suggested(connected: Shell) -> None:
    connected.acme.add_channel("shop")
    connected("channels", "refresh")
    connected.subscribe("--to", "#shop")
    connected.acme.delete("shop")
    deliver(connected, failed_workflow())
    [lane] = connected("parked", "list", "--json").json
    assert (lane["reason"], "Did you mean" in lane["hint"]) == ("channel_not_found", False)


def test_a_moved_subscription_sends_elsewhere(connected: Shell) -> None:
    connected.acme.add_channel("deployments")
    connected("channels", "refresh")
    id_ = connected.subscribe("--to", "#deploymnts", "--kind", "workflow")
    deliver(connected, failed_workflow())
    [lane] = connected("parked", "list", "--json").json
    assert "Did you mean #deployments?" in lane["hint"]
    assert f"`ik-slack subscriptions move {id_} --to '#deployments'`" in lane["hint"]
    moved = connected("subscriptions", "move", id_, "--to", "#deployments")
    assert (moved.code, moved.err) == (0, "")
    spec = connected("subscriptions", "show", id_, "--json").json
    assert (spec["destination"], spec["kind"]) == ("#deployments", ["workflow"])
    assert connected("subscriptions", "move", id_, "--to", "a b").code == 2
    assert connected("subscriptions", "move", "sub-0", "--to", "#ops").code == 1


def test_a_dead_letter_of_a_refused_message_says_what_to_do(connected: Shell) -> None:
    connected.subscribe("--to", "#ops")
    reject_next_messages(connected)
    deliver(connected, failed_workflow())
    [letter] = connected("dead-letters", "list", "--json").json
    for out in (letter["hint"], connected("dead-letters", "list").out, connected("explain", "deploy-1").out):
        assert "correct the template" in out
        assert "ik-slack dead-letters replay" in out


@pytest.mark.parametrize("destination", ["C123", "U0", "G12345"])
def test_a_short_id_is_not_taken_for_a_channel(connected: Shell, destination: str) -> None:
    ended = connected("subscriptions", "add", "--to", destination)
    assert ended.code == 2
    assert f"'#{destination.lower()}'" in ended.err
    assert connected("subscriptions", "add", "--to", f"#{destination}").code == 0


@pytest.mark.parametrize("arguments", [("subscriptions", "add", "--to"), ("integrations", "test", "acme", "--post")])
def test_an_id_in_lower_case_is_answered_with_the_id_that_is_meant(
    connected: Shell, arguments: tuple[str, ...]
) -> None:
    ended = connected(*arguments, "c0123abcd")
    assert ended.code == 2
    assert "did you mean C0123ABCD? A channel of that name is written '#c0123abcd'" in ended.err


def test_an_id_in_lower_case_that_the_directory_knows_is_suggested(connected: Shell) -> None:
    channel = connected.acme.get_channel("ops").id
    ended = connected("subscriptions", "add", "--to", f"#{channel.lower()}")
    assert ended.code == 0
    assert f"Did you mean {channel}?" in ended.err


def test_lists_are_filtered_by_an_id_in_lower_case(connected: Shell) -> None:
    channel = connected.acme.get_channel("ops").id
    connected.subscribe("--to", channel)
    deliver(connected, failed_workflow())
    for option in ("--channel", "--lane"):
        assert len(connected("deliveries", "list", option, channel.lower(), "--json").json) == 1


def test_a_channel_is_found_however_its_accents_are_written(connected: Shell) -> None:
    connected.acme.add_channel("gr\u00f6\u00dfe")
    connected.acme.add_channel("cafe\u0301")
    for name in ("#gro\u0308\u00dfe", "#caf\u00e9"):
        ended = connected("subscriptions", "add", "--to", name)
        assert (ended.code, ended.err) == (0, "")


def test_an_unknown_command_names_the_similar_one(shell: Shell) -> None:
    assert "Did you mean 'subscriptions'?" in shell("subscription", "list").err
    assert "Did you mean 'list'?" in shell("subscriptions", "lst").err
    assert shell("subscription", "list").code == 2
    assert "Did you mean" not in shell("qqqq").err


def test_a_second_integration_of_a_workspace_is_a_warning(connected: Shell) -> None:
    ended = connected("integrations", "add", "twin", "--token-stdin", stdin=connected.acme.token)
    assert ended.code == 0
    assert ended.err.startswith("Warning: acme and twin are integrations of the same workspace, Acme")
    assert connected("integrations", "add", "acme", "--token-stdin", stdin=connected.acme.token).err != ""
