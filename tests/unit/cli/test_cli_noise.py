"""What keeps a channel quiet: written, listed, exported, applied, and explained for each event."""

import pytest
from cli_shell import Shell
from inspecting import event, told


@pytest.fixture
def connected(shell: Shell) -> Shell:
    shell.connect()
    return shell


def unchanged_by_its_export(shell: Shell) -> bool:
    """Whether applying what is exported changes nothing."""
    before = shell("subscriptions", "list", "--json").json
    exported = shell("subscriptions", "export").out
    ended = shell("subscriptions", "apply", "-", "--prune", stdin=exported)
    return (
        ended.out.startswith("Nothing to change") and shell("subscriptions", "list", "--json").json == before
    )


def test_only_changes_is_an_option_like_all_others(connected: Shell) -> None:
    id_ = connected.subscribe("--to", "ops", "--only-changes")
    assert connected("subscriptions", "show", id_, "--json").json["only_changes"] is True
    assert "only changes" in connected("subscriptions", "list").out
    assert "only_changes: true" in connected("subscriptions", "export").out
    assert unchanged_by_its_export(connected)


def test_explain_names_what_told_the_same_state(connected: Shell) -> None:
    connected.subscribe("--to", "ops", "--only-changes")
    told(connected, event("first", workflow_id="w1"))
    told(connected, event("again", workflow_id="w1"))
    first = connected("explain", "first", "--json").json["matched"][0]["delivery"]["id"]
    assert f"its state was told already by {first}" in connected("explain", "again").out
    assert len(connected.slack.messages("ops")) == 1
