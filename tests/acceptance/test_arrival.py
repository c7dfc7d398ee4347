"""Events that were published arrive: in the right channels, once each, whatever lay between them."""

import random
from dataclasses import asdict

from support.events import marks, numbered_alert, own_notification
from support.installation import Installation, until


async def test_events_of_both_forms_are_posted_once_in_the_right_channels(fast: Installation):
    for name in ("ops", "shop", "flows"):
        fast.workspace.add_channel(name)
    await fast.connect("#ops", "#shop", rules=[{"destination": "#flows", "kind": "workflow"}])
    fast.worker(), fast.ingest()
    for number in range(10):
        await fast.publish(
            numbered_alert(number, "ops"), numbered_alert(100 + number, "shop"), own_notification(200 + number)
        )
    balance = await fast.settled(30)
    assert sorted(fast.marks("#ops")) == marks(*range(10))
    assert sorted(fast.marks("#shop")) == marks(*range(100, 110))
    assert sorted(fast.marks("#flows")) == marks(*range(200, 210))
    assert (balance.accepted, balance.suppressed, balance.rejected) == (30, 0, 0)
    assert balance.repeated == 0
    assert await fast.asked("ledger") == asdict(balance)


async def test_an_event_without_a_matching_subscription_is_suppressed_with_a_reason(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest()
    await fast.publish(numbered_alert(1, "nobody's"))
    await until(lambda: _accepted(fast), "the event is accepted")
    (record,) = await fast.app.events.find("evt-1")
    assert record.suppressed == "no subscription matches"
    balance = await fast.balance()
    assert (balance.suppressed, balance.created, balance.unaccounted) == (1, 0, 0)


async def _accepted(installation: Installation) -> bool:
    return (await installation.balance()).accepted == 1


async def test_events_published_before_the_first_start_are_posted(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.publish(*(numbered_alert(number) for number in range(20)))
    await fast.connect("#ops")
    fast.ingest(), fast.worker()
    await fast.settled(20)
    assert fast.marks("#ops") == marks(*range(20))


async def test_the_same_id_from_the_same_source_is_posted_once(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest(), fast.worker()
    elsewhere = {**numbered_alert(1, name="evt-9", fingerprint="f9"), "source": "/elsewhere"}
    await fast.publish(numbered_alert(1), numbered_alert(1), elsewhere)
    await fast.settled(2)
    await fast.publish(numbered_alert(1), numbered_alert(2))
    balance = await fast.settled(3)
    assert sorted(fast.marks("#ops")) == marks(1, 2, 9)
    assert balance.repeats_ignored == 2


async def test_unreadable_entries_are_kept_unchanged_and_stop_no_other_event(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    chance = random.Random(500)
    bad = [chance.randbytes(chance.randint(1, 300)) for _ in range(500)]
    entries: dict[str, bytes] = {}
    for number, raw in enumerate(bad):
        (entry,) = await fast.publish(raw)
        entries[entry] = raw
        if number % 10 == 0:
            await fast.publish(numbered_alert(number))
    fast.ingest(), fast.worker()
    balance = await fast.settled(50)
    assert (balance.accepted, balance.rejected) == (50, 500)
    letters = await fast.app.dead_letters.list_all(reason="unreadable")
    assert {letter.id: letter.raw for letter in letters} == {entry: {b"event": raw} for entry, raw in entries.items()}
    assert all(letter.detail for letter in letters)
    listed = await fast.asked("dead-letters", "list", "--reason", "unreadable")
    assert {one["id"]: one["detail"] for one in listed} == {one.id: one.detail for one in letters}


async def test_a_destination_gets_every_event_of_unusual_content(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    fast.ingest(), fast.worker()
    strange = (
        "evt-1 " + "x" * 5000,
        "evt-2 <!channel> <@U0000000> &lt;",
        "evt-3 🚀👩‍🚀 \u202e\x00\ud83d",
        "`*_~evt-4",
    )
    for number, name in enumerate(strange, 1):
        await fast.publish(numbered_alert(number, name=name, summary=name, description="<!here> " * 500))
    await fast.settled(4)
    assert sorted(fast.marks("#ops")) == marks(1, 2, 3, 4)
    shown = str(fast.messages("#ops"))
    assert "<!channel" not in shown
    assert "<!here" not in shown
    assert "<@U" not in shown
    assert (await fast.balance()).dead == 0
