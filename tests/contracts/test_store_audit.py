"""The audit trail keeps the newest changes."""

from support.store import World

from worker.store.audit import MAX_TEXT, AuditEntry, AuditTrail


async def test_the_audit_trail_lists_the_newest_changes_first(world: World):
    trail = AuditTrail(world.server)
    assert await trail.find_newest(10) == []
    for number in range(3):
        await trail.append("ada", "dead letters replayed", f"d{number}", "done")
    entries = await trail.find_newest(2)
    assert [entry.which for entry in entries] == ["d2", "d1"]
    assert entries[0] == AuditEntry(
        at_ms=entries[0].at_ms, who="ada", what="dead letters replayed", which="d2", outcome="done"
    )
    assert entries[0].at_ms > 0


async def test_a_long_text_of_the_audit_trail_is_cut(world: World):
    trail = AuditTrail(world.server)
    await trail.append("a" * 999, "b" * 999, "", "failed")
    (entry,) = await trail.find_newest(10)
    assert (len(entry.who), len(entry.what), entry.which) == (MAX_TEXT, MAX_TEXT, "")
