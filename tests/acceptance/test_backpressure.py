"""Slack is down while events keep coming: a warning before anything dies, then one message tells it all."""

import json

import pytest
from installation import Installation, Program, alert, installed, until


def headlines(one: Installation, channel: str) -> list[str]:
    """Of each message its fallback text, as a notification shows it."""
    return [message["text"] for message in one.messages(channel)]


async def waiting(one: Installation, count: int) -> None:
    async def are() -> bool:
        return (await one.balance()).pending >= count

    await until(are, f"{count} deliveries wait", most_s=90)


def told_of(worker: Program, count: int) -> bool:
    """Whether a message that tells so many was sent, whatever came of it."""
    return any(line["told"] == count for line in worker.lines("attempt"))


async def let_go(one: Installation, lane: str) -> None:
    """Until a post of this lane has just failed: what is in hand is not among those that wait in it."""

    async def held() -> bool:
        return bool(await one.redis.exists(f"ik:lane:{lane}:lease"))

    async def free() -> bool:
        return not await held()

    await until(held, f"{lane} is tried")
    await until(free, f"{lane} lies down")


@pytest.mark.slow
async def test_people_are_warned_before_a_lane_is_full_and_the_newest_are_told_in_one_message(tmp_path):
    settings = {"LANE_MAX_LENGTH": "10", "OPERATIONS_CHANNEL": "#platform"}
    async with installed(tmp_path, **settings) as one:
        for name in ("ops", "platform"):
            one.workspace.add_channel(name)
        await one.connect("#ops")
        worker = one.worker()
        ingest = one.ingest()
        await one.running(worker, ingest)
        await one.slack_down()
        await one.publish(*(alert(number) for number in range(8)))
        warned = await until(lambda: worker.lines("lane is near a limit"), "the log warns")
        assert [(line["lane"], line["detail"], line["then"]) for line in warned] == [
            (
                "acme/#ops",
                "8 of at most 10 deliveries wait",
                "When it is full, its oldest become dead letters (overflow).",
            )
        ]
        doctor = await one.cli("doctor")
        assert "acme/#ops: length" in doctor.out
        assert "8 of at most 10 deliveries wait" in doctor.out
        await let_go(one, "acme/#ops")
        total = 11
        await one.publish(*(alert(number) for number in range(8, total)))
        full = await until(
            lambda: ingest.lines("lane is full: its oldest deliveries are dead letters now"), "it is full"
        )
        lost = sum(line["overflowed"] for line in full)
        letters = await one.asked("dead-letters", "list", "--reason", "overflow")
        assert sorted(letter["event_id"] for letter in letters) == sorted(f"evt-{n}" for n in range(lost))

        await one.slack_up()
        await until(
            lambda: headlines(one, "#ops") and headlines(one, "#platform"), "both are told", most_s=90
        )
        (told,) = headlines(one, "#ops")
        first, second, third = range(lost, lost + 3)
        assert told == f"{total - lost} updates: 🟠 evt-{first}; 🟠 evt-{second}; 🟠 evt-{third} …"
        (warning,) = headlines(one, "#platform")
        assert warning.startswith(
            "🟡 #ops falls behind: 8 of at most 10 deliveries wait: When it is full, its oldest become dead "
            "letters (overflow)."
        ), warning
        assert len(worker.lines("lane is near a limit")) == 1, "once"
        balance = await one.balance()
        assert (balance.dead, balance.unaccounted) == (lost, 0)


@pytest.mark.slow
async def test_people_are_warned_before_what_waits_expires(tmp_path):
    settings = {"DELIVERY_MAX_AGE_S": "30", "OPERATIONS_CHANNEL": "#platform"}
    async with installed(tmp_path, **settings) as one:
        for name in ("ops", "platform"):
            one.workspace.add_channel(name)
        await one.connect("#ops")
        worker = one.worker()
        await one.running(worker, one.ingest())
        one.sandbox.fault("http_500", channel="#ops", times=1_000)
        await one.publish(alert(1))
        (line,) = await until(lambda: worker.lines("lane is near a limit"), "the log warns", most_s=60)
        assert line["detail"].startswith("the oldest delivery has waited 2")
        assert line["detail"].endswith(" s of at most 30 s")
        (warning,) = await until(lambda: headlines(one, "#platform"), "people are warned")
        assert "#ops falls behind: the oldest delivery has waited 2" in warning
        assert "What waits longer becomes a dead letter (expired)." in warning
        (expired,) = await until(lambda: worker.lines("deliveries expired"), "it expires")
        assert (expired["lane"], expired["expired"]) == ("acme/#ops", 1)
        assert expired["time"] > line["time"]


@pytest.mark.slow
async def test_after_an_outage_the_first_message_tells_the_fresh_critical_alert_first(tmp_path):
    async with installed(tmp_path) as one:
        one.workspace.add_channel("ops")
        await one.connect("#ops")
        worker = one.worker()
        await one.running(worker, one.ingest())
        await one.slack_down()
        for start in range(0, 9_000, 500):
            await one.publish(*(alert(number, severity="info") for number in range(start, start + 500)))
        await one.publish(alert(9_999, severity="critical"))
        await waiting(one, 9_001)
        # What was being written when the last ones came would be told before them.
        await until(lambda: told_of(worker, 9_001), "all are tried at once", most_s=120)
        await one.slack_up()
        await until(lambda: headlines(one, "#ops"), "Slack is told", most_s=120)
        first = headlines(one, "#ops")[0]
        assert first == "9,001 updates: 🔴 evt-9999; 🔵 evt-0; 🔵 evt-1 …"
        balance = await one.settled(9_001)
        assert (balance.delivered, balance.dead) == (11, 0)
        told = headlines(one, "#ops")
        assert len(told) == 11, "one message, and a card for each of the ten worst: no flood"
        assert told[1].startswith("🔴 evt-9999")


@pytest.mark.slow
async def test_what_expired_in_an_archived_channel_is_told_once_it_is_unarchived(tmp_path):
    async with installed(tmp_path, PARKED_MAX_AGE_S="2") as one:
        ops = one.workspace.add_channel("ops")
        await one.connect("#ops")
        worker = one.worker()
        await one.running(worker, one.ingest())
        one.workspace.archive(ops)
        await one.publish(*(alert(number) for number in range(3)))
        await until(lambda: worker.lines("deliveries expired"), "they expire")
        assert headlines(one, "#ops") == []
        one.workspace.unarchive(ops)
        await one.publish(alert(3))
        await until(lambda: len(headlines(one, "#ops")) == 2, "the fresh one is told, then what was missed")
        fresh, missed = one.messages("#ops")
        assert fresh["text"].startswith("🟠 evt-3")
        assert missed["text"] == "3 updates: 🟠 evt-0; 🟠 evt-1; 🟠 evt-2"
        assert "Of these, 3 could not be told when they happened." in json.dumps(missed, ensure_ascii=False)
        (line,) = worker.lines("dead letters replayed: their lane can be told again")
        assert (line["lane"], line["replayed"]) == ("acme/#ops", 3)
        (shown,) = (await one.asked("explain", "evt-0"))["matched"]
        assert [death["reason"] for death in shown["delivery"]["deaths"]] == ["expired"]
        balance = await one.settled(4)
        assert (balance.dead, balance.unaccounted) == (0, 0)
