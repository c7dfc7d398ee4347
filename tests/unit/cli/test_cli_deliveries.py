"""`ik-slack deliveries`: listed newest first by state, lane and event; and a delivery with its history."""

import pytest
from support.cli import Shell, deliver, drain_lanes, ingest, reject_next_messages
from support.events import failed_workflow

pytestmark = pytest.mark.slow

ROW = {
    "id", "event_id", "subscription_id", "lane", "state", "channel", "ts", "attempts", "error", "detail",
    "created_at", "finished_at", "merged_into", "repeated", "replays", "deaths", "history", "severity",
}  # fmt: skip


@pytest.fixture
def both(shell: Shell) -> Shell:
    """Subscribe two channels to every event; the bot is not a member of the second."""
    shell.connect()
    shell.subscribe("--to", "#ops")
    shell.subscribe("--to", "#lobby")
    return shell


def listed(shell: Shell, *words: str) -> list[dict]:
    ended = shell("deliveries", "list", *words, "--json")
    assert ended.code == 0, ended.err
    return ended.json


def test_a_row_has_the_keys_of_the_contract(both: Shell) -> None:
    deliver(both, failed_workflow())
    delivered, parked = sorted(listed(both), key=lambda row: row["state"])
    assert set(delivered) == ROW
    assert delivered["event_id"] == "deploy-1"
    assert (delivered["state"], delivered["attempts"], delivered["merged_into"]) == ("delivered", 1, "")
    assert delivered["channel"].startswith("C")
    assert delivered["finished_at"] >= delivered["created_at"] > "2020"
    assert (parked["state"], parked["ts"], parked["finished_at"]) == ("parked", "", None)


def test_a_merged_delivery_has_the_channel_and_ts_of_its_message(both: Shell) -> None:
    deliver(both, failed_workflow("a"), failed_workflow("b"))
    [merged], [lead] = listed(both, "--state", "merged"), listed(both, "--state", "delivered")
    assert merged["merged_into"] == lead["id"]
    assert (merged["channel"], merged["ts"]) == (lead["channel"], lead["ts"])


def test_deliveries_are_listed_newest_first(both: Shell) -> None:
    for id_ in "abc":
        deliver(both, failed_workflow(id_))
    assert [row["event_id"] for row in listed(both, "--lane", "acme/#ops")] == list("cba")
    assert [row["event_id"] for row in listed(both, "--state", "parked")] == list("cba")
    assert [row["event_id"] for row in listed(both)[::2]] == list("cba")


def test_deliveries_are_listed_by_state(both: Shell) -> None:
    deliver(both, failed_workflow("a"))
    ingest(both, failed_workflow("b"))
    found = {state: [row["lane"] for row in listed(both, "--state", state)] for state in ("pending", "parked")}
    assert found == {"pending": ["acme/#ops"], "parked": ["acme/#lobby"] * 2}
    assert listed(both, "--state", "dead") == []
    assert listed(both, "--state", "pending", "--lane", "acme/#lobby") == []
    assert both("deliveries", "list", "--state", "lost").code == 2


def test_deliveries_of_a_parked_integration_are_parked(both: Shell) -> None:
    both.acme.revoke(both.acme.token)
    deliver(both, failed_workflow())
    assert len(listed(both, "--state", "parked")) == 2
    assert listed(both, "--state", "pending") == []


def test_deliveries_are_filtered_by_event_and_other_options(both: Shell) -> None:
    deliver(both, failed_workflow("a"), failed_workflow("b"))
    assert {row["event_id"] for row in listed(both, "--event", "a")} == {"a"}
    assert len(listed(both, "--event", "a")) == 2
    assert [row["state"] for row in listed(both, "--event", "a", "--state", "parked")] == ["parked"]
    assert [row["lane"] for row in listed(both, "--event", "a", "--lane", "acme/#ops")] == ["acme/#ops"]
    assert listed(both, "--event", "nope") == []


def test_events_of_two_sources_with_one_id_are_both_found(both: Shell) -> None:
    deliver(both, failed_workflow("a", source="/x"), failed_workflow("a", source="/y"))
    assert len(listed(both, "--event", "a")) == 4


@pytest.mark.parametrize("words", [(), ("--state", "parked"), ("--lane", "acme/#lobby")])
def test_a_limit_lists_the_newest_and_notes_that_there_are_more(both: Shell, words: tuple[str, ...]) -> None:
    deliver(both, *(failed_workflow(f"e{n}") for n in range(60)))
    assert len(listed(both, *words)) >= 60
    assert len(listed(both, *words, "--limit", "7")) == 7
    assert listed(both, *words, "--limit", "7") == listed(both, *words)[:7]
    out = both("deliveries", "list", *words).out
    assert "The newest 50 deliveries; --limit 0 lists all." in out
    assert "newest" not in both("deliveries", "list", *words, "--limit", "0").out


def test_the_note_shows_errors_merges_and_repeats(both: Shell) -> None:
    assert both("deliveries", "list").out == "No delivery found.\n"
    reject_next_messages(both)
    deliver(both, failed_workflow("a"))
    deliver(both, failed_workflow("b"), failed_workflow("c"))
    out = both("deliveries", "list").out
    lead = listed(both, "--state", "delivered")[0]["id"]
    assert "invalid_blocks: Slack rejected the structure of the message" in out
    assert f"in message of {lead}" in out


def test_show_prints_every_attempt(both: Shell) -> None:
    both.slack.fault("service_unavailable")
    deliver(both, failed_workflow())
    [row] = listed(both, "--lane", "acme/#ops")
    shown = both("deliveries", "show", row["id"], "--json").json
    assert {name: shown[name] for name in ROW} == {**row, "attempts": shown["attempts"]}
    assert [attempt["outcome"] for attempt in shown["attempts"]] == ["transient", "delivered"]
    assert shown["attempts"][0]["wait_s"] > 0
    out = both("deliveries", "show", row["id"]).out
    assert "Event deploy-1" in out
    assert "chat.postMessage: transient (service_unavailable), waited" in out


def test_an_unknown_outcome_is_shown_as_perhaps_posted_twice(both: Shell) -> None:
    both.slack.fault("reset_after")
    deliver(both, failed_workflow())
    both.store(lambda app: app.redis.command("ZADD", app.redis.keys.named("due"), 1, "acme/#ops"))
    drain_lanes(both)
    [row] = listed(both, "--lane", "acme/#ops")
    assert (row["state"], row["repeated"], row["attempts"]) == ("delivered", True, 2)
    out = both("deliveries", "show", row["id"]).out
    assert "may have been posted" in out
    assert "delivered, perhaps twice" in out
    assert "2 calls, perhaps twice" in both("deliveries", "list").out


def test_an_unknown_delivery_is_one_line(shell: Shell) -> None:
    ended = shell("deliveries", "show", "nope")
    assert ended.code == 1
    assert "There is no delivery 'nope'" in ended.err
    assert ended.err.count("\n") == 1
