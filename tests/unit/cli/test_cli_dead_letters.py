"""Dead letters: seen, replayed and discarded; doing it twice is doing it once."""

import io

import pytest
from cli_shell import Shell
from inspecting import BROKEN, dead, event, ingest, refuse_messages, tell, told

from worker.cli import letters
from worker.store.dead_queue import PREFIX


@pytest.fixture
def ops(shell: Shell) -> Shell:
    shell.connect()
    shell.subscribe("--to", "#ops")
    return shell


def listed(shell: Shell, *words: str) -> list[dict]:
    ended = shell("dead-letters", "list", *words, "--json")
    assert ended.code == 0, ended.err
    return ended.json


def three(shell: Shell) -> list[str]:
    """An unreadable entry and two deliveries Slack refused: the ids."""
    [entry] = ingest(shell, BROKEN)
    return [entry, dead(shell, "one"), dead(shell, "two")]


def test_a_refused_delivery_says_what_it_was(ops: Shell) -> None:
    id_ = dead(ops)
    [row] = listed(ops)
    assert {"id", "reason", "detail", "event_id", "channel", "died_at"} <= set(row)
    assert (row["id"], row["reason"], row["event_id"]) == (id_, "invalid_blocks", "deploy-1")
    assert (row["channel"], row["lane"], row["attempts"]) == ("#ops", "acme/#ops", 2)
    assert row["died_at"].endswith("Z")


def test_an_unreadable_entry_says_where_it_is_wrong(ops: Shell) -> None:
    [entry] = ingest(ops, BROKEN)
    [row] = listed(ops)
    assert (row["id"], row["event_id"], row["channel"], row["reason"]) == (entry, entry, "", "unreadable")
    assert row["detail"].startswith("line 1 column")


def test_the_list_is_by_reason_and_newest_first(ops: Shell) -> None:
    entry, one, two = three(ops)
    assert [row["id"] for row in listed(ops)] == [two, one, entry]
    assert [row["id"] for row in listed(ops, "--reason", "unreadable")] == [entry]
    assert [row["id"] for row in listed(ops, "--limit", "1")] == [two]
    out = ops("dead-letters", "list", "--limit", "1").out
    assert "The newest 1 of 3; --limit 0 shows all." in out
    assert "invalid_blocks (2): Replay it with `ik-slack dead-letters replay ID`" in out
    assert "unreadable (1): Mend what publishes it" in out


def test_none_is_said(ops: Shell) -> None:
    assert ops("dead-letters", "list").out == "There is no dead letter.\n"
    ended = ops("dead-letters", "replay", "--reason", "expired")
    assert (ended.code, ended.out) == (0, "There is no such dead letter.\n")


def test_a_delivery_shows_its_event_and_history(ops: Shell) -> None:
    id_ = dead(ops)
    shown = ops("dead-letters", "show", id_, "--json").json
    assert shown["event"]["title"] == "Workflow run deploy-1 failed"
    assert [one["outcome"] for one in shown["delivery"]["attempts"]] == ["refused", "refused"]
    out = ops("dead-letters", "show", id_).out
    assert "Event deploy-1: Workflow run deploy-1 failed" in out
    assert "refused (invalid_blocks)" in out


def test_a_delivery_whose_event_is_gone_is_shown_too(ops: Shell) -> None:
    id_ = dead(ops)
    [ref] = ops.store(lambda made: made.server.command("KEYS", "ik:event:*"))
    ops.store(lambda made: made.server.command("DEL", ref))
    assert ops("dead-letters", "show", id_, "--json").json["event"] is None
    assert "Its event is no longer kept." in ops("dead-letters", "show", id_).out
    ended = ops("dead-letters", "replay", id_)
    assert ended.code == 1
    assert "its event is no longer kept" in ended.err
    assert [row["id"] for row in listed(ops)] == [id_]


def test_raw_bytes_cannot_steer_the_terminal_and_are_kept_exactly(ops: Shell) -> None:
    raw = b"bad \x1b[31m\xff\n"
    entry = ops.store(lambda made: made.server.command("XADD", "infrakitchen:events", "*", "it", raw))
    ingest(ops)
    out = ops("dead-letters", "show", entry.decode()).out
    assert "it (11 bytes):\nbad \\x1b[31m\\xff\\n\n" in out
    assert "has no field 'event'" in out
    [field] = ops("dead-letters", "show", entry.decode(), "--json").json["fields"]
    assert field["name"] == "it"
    assert field["base64"] == "YmFkIBtbMzFt/wo="


def test_what_is_no_dead_letter_is_not_shown(ops: Shell) -> None:
    assert "see `ik-slack dead-letters list`" in ops("dead-letters", "show", "nope").err
    told(ops, event())
    [row] = ops("deliveries", "list", "--json").json
    assert "is not a dead letter any more" in ops("dead-letters", "show", row["id"]).err


def test_a_replayed_delivery_is_told_and_its_lane_woken(ops: Shell) -> None:
    id_ = dead(ops)
    ended = ops("dead-letters", "replay", id_)
    assert (ended.code, ended.out) == (0, f"{id_} is pending again in acme/#ops\n")
    assert ops.store(lambda made: made.broker.command("LLEN", "ik:celery:lanes")) == 1
    tell(ops)
    [row] = ops("deliveries", "list", "--json").json
    assert (row["state"], row["replays"]) == ("delivered", 1)


def test_replaying_twice_changes_nothing(ops: Shell) -> None:
    [entry] = ingest(ops, BROKEN)
    id_ = dead(ops)
    ops("dead-letters", "replay", id_, entry)
    ended = ops("dead-letters", "replay", id_, entry, id_)
    assert ended.code == 0
    assert ended.out == f"{id_} is not a dead letter any more\n{entry} is not a dead letter any more\n"
    assert ops("ledger", "--json").json["unaccounted"] == 0


def test_a_replayed_entry_is_read_once_more(ops: Shell) -> None:
    [entry] = ingest(ops, BROKEN)
    assert ops("dead-letters", "replay", entry).out == f"{entry} is back in the stream\n"
    assert listed(ops) == []
    ingest(ops)
    [row] = listed(ops)
    assert row["id"] != entry


def test_unknown_ids_are_named_and_the_others_still_done(ops: Shell) -> None:
    id_ = dead(ops)
    ended = ops("dead-letters", "replay", "nope", id_, "1-1")
    assert ended.code == 1
    assert ended.out == f"{id_} is pending again in acme/#ops\n"
    assert ended.err.startswith("Error: There is no dead letter nope, 1-1")


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_which_ones_must_be_said_in_one_way(ops: Shell, verb: str) -> None:
    assert ops("dead-letters", verb).code == 2
    assert ops("dead-letters", verb, "--all", "--reason", "expired").code == 2
    assert ops("dead-letters", verb, "x", "--all").code == 2


def test_those_of_a_reason_are_replayed_oldest_first(ops: Shell) -> None:
    entry, one, two = three(ops)
    ended = ops("dead-letters", "replay", "--reason", "invalid_blocks")
    assert ended.out.splitlines() == [f"{id_} is pending again in acme/#ops" for id_ in (one, two)]
    waiting = ops.store(lambda made: made.deliveries.waiting("acme/#ops", most=9))
    assert waiting == [one, two]
    assert [row["id"] for row in listed(ops)] == [entry]


def test_many_are_counted(ops: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "SAID_ONE_BY_ONE", 1)
    ids = three(ops)
    ops("dead-letters", "discard", ids[0])
    assert ops("dead-letters", "replay", *ids).out == "2 dead letters replayed; 1 were none any more\n"


def test_discarded_ones_are_counted_as_such(ops: Shell) -> None:
    three(ops)
    assert ops("dead-letters", "discard", "--all", "--yes").out.count(" is discarded\n") == 3
    assert listed(ops) == []
    balance = ops("ledger", "--json").json
    assert (balance["dead"], balance["discarded"], balance["unaccounted"]) == (0, 2, 0)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_discarding_all_asks_first(ops: Shell) -> None:
    id_ = dead(ops)
    ops.env.setattr(io, "TextIOWrapper", lambda _: Terminal("n\n"))
    ended = ops("dead-letters", "discard", "--all")
    assert ended.code == 130
    assert "Discard every dead letter?" in ended.err
    assert [row["id"] for row in listed(ops)] == [id_]
    ops.env.setattr(io, "TextIOWrapper", lambda _: Terminal("y\n"))
    assert ops("dead-letters", "discard", "--all").out == f"{id_} is discarded\n"


def test_it_leaves_flowers_queue_at_once(ops: Shell) -> None:
    ids = three(ops)
    queue = "ik:celery:dead_letters"
    for id_ in ids:
        message = f'{{"headers": {{"id": "{PREFIX}{id_}"}}}}'
        ops.store(lambda made, message=message: made.broker.command("RPUSH", queue, message))
    ops("dead-letters", "replay", ids[1])
    ops("dead-letters", "discard", ids[0])
    assert list(ops.store(lambda made: made.dead_queue.ids())) == [ids[2]]


def test_a_broker_out_of_reach_stops_nothing(ops: Shell) -> None:
    id_ = dead(ops)
    ops.env.setenv("BROKER_URL", "redis://127.0.0.1:9/0")
    ended = ops("dead-letters", "discard", id_)
    assert (ended.code, ended.out) == (0, f"{id_} is discarded\n")
    assert "Warning: The broker does not answer" in ended.err


def test_an_entry_with_too_many_fields_says_what_to_do(ops: Shell) -> None:
    words = [part for n in range(3_600) for part in (f"f{n}", "x")]
    entry = ops.store(lambda made: made.server.command("XADD", "infrakitchen:events", "*", *words)).decode()
    ingest(ops)
    refuse_messages(ops)
    ended = ops("dead-letters", "replay", entry)
    assert ended.code == 1
    assert "too many to put back in one step" in ended.err
    assert [row["id"] for row in listed(ops)] == [entry]
