"""Deliveries: listed by state, lane and event, newest first; and one with its history."""

import pytest
from cli_shell import Shell
from inspecting import event, ingest, refuse_messages, tell, told

ROW = {
    "id", "event_id", "subscription_id", "lane", "state", "channel", "ts", "attempts", "error", "detail",
    "created_at", "finished_at", "merged_into", "repeated", "replays", "deaths",
}  # fmt: skip


@pytest.fixture
def both(shell: Shell) -> Shell:
    """Everything goes to a channel, and to one the bot is not in."""
    shell.connect()
    shell.subscribe("--to", "#ops")
    shell.subscribe("--to", "#lobby")
    return shell


def listed(shell: Shell, *words: str) -> list[dict]:
    ended = shell("deliveries", "list", *words, "--json")
    assert ended.code == 0, ended.err
    return ended.json


def test_a_row_has_what_the_contract_names(both: Shell) -> None:
    told(both, event())
    delivered, parked = sorted(listed(both), key=lambda row: row["state"])
    assert set(delivered) == ROW
    assert delivered["event_id"] == "deploy-1"
    assert (delivered["state"], delivered["attempts"], delivered["merged_into"]) == ("delivered", 1, "")
    assert delivered["channel"].startswith("C")
    assert delivered["finished_at"] >= delivered["created_at"] > "2020"
    assert (parked["state"], parked["ts"], parked["finished_at"]) == ("parked", "", None)


def test_a_merged_one_carries_the_message_that_tells_it(both: Shell) -> None:
    told(both, event("a"), event("b"))
    [merged], [lead] = listed(both, "--state", "merged"), listed(both, "--state", "delivered")
    assert merged["merged_into"] == lead["id"]
    assert (merged["channel"], merged["ts"]) == (lead["channel"], lead["ts"])


def test_newest_come_first(both: Shell) -> None:
    for id_ in "abc":
        told(both, event(id_))
    assert [row["event_id"] for row in listed(both, "--lane", "acme/#ops")] == list("cba")
    assert [row["event_id"] for row in listed(both, "--state", "parked")] == list("cba")
    assert [row["event_id"] for row in listed(both)[::2]] == list("cba")


def test_by_state(both: Shell) -> None:
    told(both, event("a"))
    ingest(both, event("b"))
    found = {
        state: [row["lane"] for row in listed(both, "--state", state)] for state in ("pending", "parked")
    }
    assert found == {"pending": ["acme/#ops"], "parked": ["acme/#lobby"] * 2}
    assert listed(both, "--state", "dead") == []
    assert listed(both, "--state", "pending", "--lane", "acme/#lobby") == []
    assert both("deliveries", "list", "--state", "lost").code == 2


def test_with_a_parked_integration_all_that_wait_are_parked(both: Shell) -> None:
    both.acme.revoke(both.acme.token)
    told(both, event())
    assert len(listed(both, "--state", "parked")) == 2
    assert listed(both, "--state", "pending") == []


def test_by_event_and_further(both: Shell) -> None:
    told(both, event("a"), event("b"))
    assert {row["event_id"] for row in listed(both, "--event", "a")} == {"a"}
    assert len(listed(both, "--event", "a")) == 2
    assert [row["state"] for row in listed(both, "--event", "a", "--state", "parked")] == ["parked"]
    assert [row["lane"] for row in listed(both, "--event", "a", "--lane", "acme/#ops")] == ["acme/#ops"]
    assert listed(both, "--event", "nope") == []


def test_of_two_sources_with_one_id_both_are_found(both: Shell) -> None:
    told(both, event("a", source="/x"), event("a", source="/y"))
    assert len(listed(both, "--event", "a")) == 4


@pytest.mark.parametrize("words", [(), ("--state", "parked"), ("--lane", "acme/#lobby")])
def test_a_limit_shows_the_newest_and_says_that_there_are_more(both: Shell, words: tuple[str, ...]) -> None:
    told(both, *(event(f"e{n}") for n in range(60)))
    assert len(listed(both, *words)) >= 60
    assert len(listed(both, *words, "--limit", "7")) == 7
    assert listed(both, *words, "--limit", "7") == listed(both, *words)[:7]
    out = both("deliveries", "list", *words).out
    assert "The newest 50 deliveries; --limit 0 shows all." in out
    assert "newest" not in both("deliveries", "list", *words, "--limit", "0").out


def test_people_see_what_is_worth_a_glance(both: Shell) -> None:
    assert both("deliveries", "list").out == "No delivery to show.\n"
    refuse_messages(both)
    told(both, event("a"))
    told(both, event("b"), event("c"))
    out = both("deliveries", "list").out
    lead = listed(both, "--state", "delivered")[0]["id"]
    assert "invalid_blocks: Slack does not take the message" in out
    assert f"told by {lead}" in out


def test_one_shows_its_history(both: Shell) -> None:
    both.slack.fault("service_unavailable")
    told(both, event())
    [row] = listed(both, "--lane", "acme/#ops")
    shown = both("deliveries", "show", row["id"], "--json").json
    assert {name: shown[name] for name in ROW} == row
    assert [one["outcome"] for one in shown["history"]] == ["transient", "delivered"]
    assert shown["history"][0]["wait_s"] > 0
    out = both("deliveries", "show", row["id"]).out
    assert "Event deploy-1" in out
    assert "chat.postMessage: transient (service_unavailable), waited" in out


def test_an_unknown_outcome_is_said_with_the_repeat(both: Shell) -> None:
    both.slack.fault("reset_after")
    told(both, event())
    both.store(lambda made: made.server.command("ZADD", made.server.keys.named("due"), 1, "acme/#ops"))
    tell(both)
    [row] = listed(both, "--lane", "acme/#ops")
    assert (row["state"], row["repeated"], row["attempts"]) == ("delivered", True, 2)
    out = both("deliveries", "show", row["id"]).out
    assert "may have been posted" in out
    assert "delivered, perhaps twice" in out
    assert "2 calls, perhaps twice" in both("deliveries", "list").out


def test_one_nobody_knows_is_one_line(shell: Shell) -> None:
    ended = shell("deliveries", "show", "nope")
    assert ended.code == 1
    assert "There is no delivery 'nope'" in ended.err
    assert ended.err.count("\n") == 1
