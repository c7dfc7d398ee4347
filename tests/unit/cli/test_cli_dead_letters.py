"""`ik-slack dead-letters`: listed, replayed and discarded; a repeated command changes nothing."""

import io

import pytest
from support.cli import Shell, create_dead_letter, deliver, drain_lanes, ingest, reject_next_messages
from support.events import UNREADABLE_EVENT, failed_workflow

from worker.cli import dead_letters
from worker.store.dead_letters import TASK_PREFIX

pytestmark = pytest.mark.slow


@pytest.fixture
def ops(shell: Shell) -> Shell:
    shell.connect()
    shell.subscribe("--to", "#ops")
    return shell


def listed(shell: Shell, *words: str) -> list[dict]:
    ended = shell("dead-letters", "list", *words, "--json")
    assert ended.code == 0, ended.err
    return ended.json


def create_three(shell: Shell) -> list[str]:
    """Create an unreadable entry and two deliveries that Slack rejected, and return the ids."""
    [entry] = ingest(shell, UNREADABLE_EVENT)
    return [entry, create_dead_letter(shell, "one"), create_dead_letter(shell, "two")]


def test_a_dead_delivery_is_listed_with_its_event_and_error(ops: Shell) -> None:
    id_ = create_dead_letter(ops)
    [row] = listed(ops)
    assert {"id", "reason", "detail", "event_id", "channel", "died_at"} <= set(row)
    assert (row["id"], row["reason"], row["event_id"]) == (id_, "invalid_blocks", "deploy-1")
    assert (row["channel"], row["lane"], row["attempts"]) == ("#ops", "acme/#ops", 2)
    assert row["died_at"].endswith("Z")


def test_an_unreadable_entry_is_listed_with_the_place_of_the_error(ops: Shell) -> None:
    [entry] = ingest(ops, UNREADABLE_EVENT)
    [row] = listed(ops)
    assert (row["id"], row["event_id"], row["channel"], row["reason"]) == (entry, entry, "", "unreadable")
    assert row["detail"].startswith("line 1 column")


def test_the_list_is_by_reason_and_newest_first(ops: Shell) -> None:
    entry, one, two = create_three(ops)
    assert [row["id"] for row in listed(ops)] == [two, one, entry]
    assert [row["id"] for row in listed(ops, "--reason", "unreadable")] == [entry]
    assert [row["id"] for row in listed(ops, "--limit", "1")] == [two]
    out = ops("dead-letters", "list", "--limit", "1").out
    assert "The newest 1 of 3; --limit 0 lists all." in out
    assert "invalid_blocks (2): To send it again, run `ik-slack dead-letters replay ID`" in out
    assert "unreadable (1): Correct what publishes it" in out


def test_an_empty_list_is_one_line(ops: Shell) -> None:
    assert ops("dead-letters", "list").out == "There is no dead letter.\n"
    ended = ops("dead-letters", "replay", "--reason", "expired")
    assert (ended.code, ended.out) == (0, "There is no such dead letter.\n")


def test_show_prints_the_event_and_every_attempt_of_a_dead_delivery(ops: Shell) -> None:
    id_ = create_dead_letter(ops)
    shown = ops("dead-letters", "show", id_, "--json").json
    assert shown["event"]["title"] == "Workflow run deploy-1 failed"
    assert [one["outcome"] for one in shown["delivery"]["attempts"]] == ["refused", "refused"]
    out = ops("dead-letters", "show", id_).out
    assert "Event deploy-1: Workflow run deploy-1 failed" in out
    assert "refused (invalid_blocks)" in out


def test_a_delivery_whose_event_is_gone_is_shown_too(ops: Shell) -> None:
    id_ = create_dead_letter(ops)
    [ref] = ops.store(lambda app: app.redis.command("KEYS", "ik:event:*"))
    ops.store(lambda app: app.redis.command("DEL", ref))
    assert ops("dead-letters", "show", id_, "--json").json["event"] is None
    assert "Its event is no longer kept." in ops("dead-letters", "show", id_).out
    ended = ops("dead-letters", "replay", id_)
    assert ended.code == 1
    assert "its event is no longer kept" in ended.err
    assert [row["id"] for row in listed(ops)] == [id_]


def test_raw_bytes_cannot_steer_the_terminal_and_are_kept_exactly(ops: Shell) -> None:
    raw = b"bad \x1b[31m\xff\n"
    entry = ops.store(lambda app: app.redis.command("XADD", "infrakitchen:events", "*", "it", raw))
    ingest(ops)
    out = ops("dead-letters", "show", entry.decode()).out
    assert "it (11 bytes):\nbad \\x1b[31m\\xff\\n\n" in out
    assert "has no field 'event'" in out
    [field] = ops("dead-letters", "show", entry.decode(), "--json").json["fields"]
    assert field["name"] == "it"
    assert field["base64"] == "YmFkIBtbMzFt/wo="


def test_show_refuses_an_id_that_is_not_a_dead_letter(ops: Shell) -> None:
    assert "`ik-slack dead-letters list`" in ops("dead-letters", "show", "nope").err
    deliver(ops, failed_workflow())
    [row] = ops("deliveries", "list", "--json").json
    assert "is no longer a dead letter" in ops("dead-letters", "show", row["id"]).err


def test_a_replayed_delivery_is_sent_and_its_lane_woken(ops: Shell) -> None:
    id_ = create_dead_letter(ops)
    ended = ops("dead-letters", "replay", id_)
    assert (ended.code, ended.out) == (0, f"{id_} is pending again in acme/#ops.\n")
    assert ops.store(lambda app: app.broker.command("LLEN", "ik:celery:lanes")) == 1
    drain_lanes(ops)
    [row] = ops("deliveries", "list", "--json").json
    assert (row["state"], row["replays"]) == ("delivered", 1)


def test_replaying_twice_changes_nothing(ops: Shell) -> None:
    [entry] = ingest(ops, UNREADABLE_EVENT)
    id_ = create_dead_letter(ops)
    ops("dead-letters", "replay", id_, entry)
    ended = ops("dead-letters", "replay", id_, entry, id_)
    assert ended.code == 0
    assert ended.out == f"{id_} is no longer a dead letter.\n{entry} is no longer a dead letter.\n"
    assert ops("ledger", "--json").json["unaccounted"] == 0


def test_a_replayed_entry_is_read_again(ops: Shell) -> None:
    [entry] = ingest(ops, UNREADABLE_EVENT)
    assert ops("dead-letters", "replay", entry).out == f"{entry} is back in the stream.\n"
    assert listed(ops) == []
    ingest(ops)
    [row] = listed(ops)
    assert row["id"] != entry


def test_unknown_ids_are_named_and_the_others_are_replayed(ops: Shell) -> None:
    id_ = create_dead_letter(ops)
    ended = ops("dead-letters", "replay", "nope", id_, "1-1")
    assert ended.code == 1
    assert ended.out == f"{id_} is pending again in acme/#ops.\n"
    assert ended.err.startswith("Error: There is no dead letter nope, 1-1")


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_dead_letters_are_selected_in_exactly_one_way(ops: Shell, verb: str) -> None:
    assert ops("dead-letters", verb).code == 2
    assert ops("dead-letters", verb, "--all", "--reason", "expired").code == 2
    assert ops("dead-letters", verb, "x", "--all").code == 2


def test_dead_letters_of_a_reason_are_replayed_oldest_first(ops: Shell) -> None:
    entry, one, two = create_three(ops)
    ended = ops("dead-letters", "replay", "--reason", "invalid_blocks")
    assert ended.out.splitlines() == [f"{id_} is pending again in acme/#ops." for id_ in (one, two)]
    waiting = ops.store(lambda app: app.deliveries.list_pending_ids("acme/#ops", limit=9))
    assert waiting == [one, two]
    assert [row["id"] for row in listed(ops)] == [entry]


def test_many_replayed_dead_letters_are_counted(ops: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "LISTED_MAX", 1)
    ids = create_three(ops)
    ops("dead-letters", "discard", ids[0])
    assert (
        ops("dead-letters", "replay", *ids).out == "2 dead letters replayed; 1 had already been replayed or discarded\n"
    )


def test_discarded_dead_letters_count_as_discarded_in_the_ledger(ops: Shell) -> None:
    create_three(ops)
    assert ops("dead-letters", "discard", "--all", "--yes").out.count(" is discarded.\n") == 3
    assert listed(ops) == []
    balance = ops("ledger", "--json").json
    assert (balance["dead"], balance["discarded"], balance["unaccounted"]) == (0, 2, 0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_discarding_all_asks_for_confirmation(ops: Shell) -> None:
    id_ = create_dead_letter(ops)
    ops.env.setattr(io, "TextIOWrapper", lambda _: Terminal("n\n"))
    ended = ops("dead-letters", "discard", "--all")
    assert ended.code == 130
    assert "Discard every dead letter?" in ended.err
    assert [row["id"] for row in listed(ops)] == [id_]
    ops.env.setattr(io, "TextIOWrapper", lambda _: Terminal("y\n"))
    assert ops("dead-letters", "discard", "--all").out == f"{id_} is discarded.\n"


def test_a_replayed_dead_letter_leaves_flowers_queue_immediately(ops: Shell) -> None:
    ids = create_three(ops)
    queue = "ik:celery:dead_letters"
    for id_ in ids:
        message = f'{{"headers": {{"id": "{TASK_PREFIX}{id_}"}}}}'
        ops.store(lambda app, message=message: app.broker.command("RPUSH", queue, message))
    ops("dead-letters", "replay", ids[1])
    ops("dead-letters", "discard", ids[0])
    assert list(ops.store(lambda app: app.flower_queue.list_messages())) == [ids[2]]


def test_an_unreachable_broker_does_not_prevent_a_replay(ops: Shell) -> None:
    id_ = create_dead_letter(ops)
    ops.env.setenv("BROKER_URL", "redis://127.0.0.1:9/0")
    ended = ops("dead-letters", "discard", id_)
    assert (ended.code, ended.out) == (0, f"{id_} is discarded.\n")
    assert "Warning: The broker does not answer" in ended.err


def test_an_entry_with_too_many_fields_is_listed_with_its_fix(ops: Shell) -> None:
    words = [part for n in range(3_600) for part in (f"f{n}", "x")]
    entry = ops.store(lambda app: app.redis.command("XADD", "infrakitchen:events", "*", *words)).decode()
    ingest(ops)
    reject_next_messages(ops)
    ended = ops("dead-letters", "replay", entry)
    assert ended.code == 1
    assert "too many to put back in one step" in ended.err
    assert [row["id"] for row in listed(ops)] == [entry]
