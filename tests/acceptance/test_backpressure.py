"""Slack is down while events keep coming: a warning before anything dies, then one message tells it all."""

import json

import pytest
from support.events import numbered_alert
from support.installation import Installation, run_installation, until


def headlines(installation: Installation, channel: str) -> list[str]:
    """Of each message its fallback text, as a notification shows it."""
    return [message["text"] for message in installation.messages(channel)]


async def waiting(installation: Installation, count: int) -> None:
    async def are() -> bool:
        return (await installation.balance()).pending >= count

    await until(are, f"{count} deliveries wait", most_s=90)


async def let_go(installation: Installation, lane: str) -> None:
    """Until a post of this lane has just failed: what is in hand is not among those that wait in it."""

    async def held() -> bool:
        return bool(await installation.redis.exists(f"ik:lane:{lane}:lease"))

    async def free() -> bool:
        return not await held()

    await until(held, f"{lane} is tried")
    await until(free, f"{lane} lies down")


@pytest.mark.thorough
@pytest.mark.slow
async def test_a_nearly_full_lane_is_reported_and_its_newest_deliveries_are_one_message(tmp_path):
    settings = {"LANE_MAX_LENGTH": "10", "OPERATIONS_CHANNEL": "#platform"}
    async with run_installation(tmp_path, **settings) as installation:
        for name in ("ops", "platform"):
            installation.workspace.add_channel(name)
        await installation.connect("#ops")
        worker = installation.worker()
        ingest = installation.ingest()
        await installation.running(worker, ingest)
        await installation.slack_down()
        await installation.publish(*(numbered_alert(number) for number in range(8)))
        warned = await until(lambda: worker.lines("lane near limit"), "the log warns")
        assert [(line["lane"], line["detail"], line["consequence"]) for line in warned] == [
            (
                "acme/#ops",
                "8 of at most 10 deliveries wait",
                "When the lane is full, its oldest deliveries become dead letters (overflow).",
            )
        ]
        doctor = await installation.cli("doctor")
        assert "acme/#ops: length" in doctor.out
        assert "8 of at most 10 deliveries wait" in doctor.out
        await let_go(installation, "acme/#ops")
        total = 11
        await installation.publish(*(numbered_alert(number) for number in range(8, total)))
        full = await until(lambda: ingest.lines("lane full, oldest deliveries dead-lettered"), "it is full")
        lost = sum(line["overflowed"] for line in full)
        letters = await installation.asked("dead-letters", "list", "--reason", "overflow")
        assert sorted(letter["event_id"] for letter in letters) == sorted(f"evt-{n}" for n in range(lost))

        await installation.slack_up()
        await until(
            lambda: headlines(installation, "#ops") and headlines(installation, "#platform"), "both are told", most_s=90
        )
        (told,) = headlines(installation, "#ops")
        first, second, third = range(lost, lost + 3)
        assert told == f"{total - lost} updates: 🟠 evt-{first}; 🟠 evt-{second}; 🟠 evt-{third} …"
        (warning,) = headlines(installation, "#platform")
        assert warning.startswith(
            "🟡 #ops falls behind: 8 of at most 10 deliveries wait: When the lane is full, its oldest "
            "deliveries become dead letters (overflow)."
        ), warning
        assert len(worker.lines("lane near limit")) == 1, "once"
        balance = await installation.balance()
        assert (balance.dead, balance.unaccounted) == (lost, 0)


@pytest.mark.thorough
@pytest.mark.slow
async def test_a_nearly_expired_delivery_is_reported(tmp_path):
    settings = {"DELIVERY_MAX_AGE_S": "30", "OPERATIONS_CHANNEL": "#platform"}
    async with run_installation(tmp_path, **settings) as installation:
        for name in ("ops", "platform"):
            installation.workspace.add_channel(name)
        await installation.connect("#ops")
        worker = installation.worker()
        await installation.running(worker, installation.ingest())
        installation.sandbox.fault("http_500", channel="#ops", times=1_000)
        await installation.publish(numbered_alert(1))
        (line,) = await until(lambda: worker.lines("lane near limit"), "the log warns", most_s=60)
        assert line["detail"].startswith("the oldest delivery has waited 2")
        assert line["detail"].endswith(" s of at most 30 s")
        (warning,) = await until(lambda: headlines(installation, "#platform"), "people are warned")
        assert "#ops falls behind: the oldest delivery has waited 2" in warning
        assert "A delivery that waits longer becomes a dead letter (expired)." in warning
        (expired,) = await until(lambda: worker.lines("deliveries expired"), "it expires")
        assert (expired["lane"], expired["expired"]) == ("acme/#ops", 1)
        assert expired["time"] > line["time"]


@pytest.mark.thorough
@pytest.mark.slow
async def test_after_an_outage_the_first_message_is_the_new_critical_alert(tmp_path):
    async with run_installation(tmp_path) as installation:
        installation.workspace.add_channel("ops")
        await installation.connect("#ops")
        worker = installation.worker()
        await installation.running(worker, installation.ingest())
        await installation.slack_down()
        for start in range(0, 9_000, 500):
            await installation.publish(
                *(numbered_alert(number, severity="info") for number in range(start, start + 500))
            )
        await waiting(installation, 9_000)
        before = len(worker.lines("attempt"))
        await installation.publish(numbered_alert(9_999, severity="critical"))
        await waiting(installation, 9_001)
        # What was being written when the last one came would be told before it.
        await until(
            lambda: any(line["deliveries"] == 1 for line in worker.lines("attempt")[before:]),
            "the critical one is tried first", most_s=120,
        )  # fmt: skip
        await installation.slack_up()
        await until(lambda: headlines(installation, "#ops"), "Slack is told", most_s=120)
        balance = await installation.settled(9_001)
        assert (balance.delivered, balance.dead) == (2, 0)
        first, digest = headlines(installation, "#ops")
        assert first.startswith("🔴 evt-9999"), "the one that matters, then all others at once: no flood"
        assert digest == "9,000 updates: 🔵 evt-0; 🔵 evt-1; 🔵 evt-2 …"


@pytest.mark.thorough
@pytest.mark.slow
async def test_deliveries_that_expired_in_an_archived_channel_are_posted_once_it_is_unarchived(tmp_path):
    async with run_installation(tmp_path, PARKED_MAX_AGE_S="2") as installation:
        ops = installation.workspace.add_channel("ops")
        await installation.connect("#ops")
        worker = installation.worker()
        await installation.running(worker, installation.ingest())
        installation.workspace.archive(ops)
        await installation.publish(*(numbered_alert(number) for number in range(3)))
        await until(lambda: worker.lines("deliveries expired"), "they expire")
        assert headlines(installation, "#ops") == []
        installation.workspace.unarchive(ops)
        await installation.publish(numbered_alert(3))
        await until(lambda: len(headlines(installation, "#ops")) == 2, "the fresh one is told, then what was missed")
        fresh, missed = installation.messages("#ops")
        assert fresh["text"].startswith("🟠 evt-3")
        assert missed["text"] == "3 updates: 🟠 evt-0; 🟠 evt-1; 🟠 evt-2"
        assert "3 of these are late, because they could not be sent when they happened" in json.dumps(
            missed, ensure_ascii=False
        )
        (line,) = worker.lines("expired deliveries replayed")
        assert (line["lane"], line["replayed"]) == ("acme/#ops", 3)
        (shown,) = (await installation.asked("explain", "evt-0"))["matched"]
        assert [death["reason"] for death in shown["delivery"]["deaths"]] == ["expired"]
        balance = await installation.settled(4)
        assert (balance.dead, balance.unaccounted) == (0, 0)
