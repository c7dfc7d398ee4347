"""Redis is away, or the key is missing or wrong: one clear line, no traceback, and work goes on after it."""

import pytest
from support.events import marks, numbered_alert
from support.installation import Installation, Program, until

from worker.store.token_cipher import generate_key


def assert_plain(*programs: Program) -> None:
    """No stack of causes, and no flood of lines, in what they logged."""
    for one in programs:
        assert "Traceback" not in one.log
        assert '"exception"' not in one.log
        assert len(one.log.splitlines()) < 60


@pytest.mark.slow
async def test_programs_wait_for_redis_at_the_start(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    await fast.kill_redis()
    ingest, worker = fast.ingest(), fast.worker()
    await until(lambda: ingest.lines("Redis does not answer"), "ingest says so")
    await until(lambda: worker.lines("Redis does not answer"), "the worker says so")
    await fast.start_redis()
    await fast.publish(numbered_alert(1), numbered_alert(2))
    await fast.settled(2)
    assert fast.marks("#ops") == marks(1, 2)
    assert_plain(ingest, worker)


@pytest.mark.slow
async def test_redis_killed_under_load_loses_no_delivery(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    ingest, worker = fast.ingest(), fast.worker()
    await fast.publish(*(numbered_alert(number) for number in range(20)))
    await until(lambda: fast.messages("#ops"), "something is told")
    await fast.kill_redis()
    await until(lambda: ingest.lines("Redis does not answer"), "ingest says so")
    await until(lambda: worker.lines("Redis does not answer"), "the worker says so")
    await fast.start_redis()
    await fast.publish(*(numbered_alert(number) for number in range(20, 40)))
    await fast.settled(40)
    assert set(fast.marks("#ops")) == set(marks(*range(40)))
    assert ingest.process.poll() is None
    assert worker.process.poll() is None
    assert_plain(ingest, worker)


@pytest.mark.slow
async def test_programs_stop_in_time_while_redis_is_away(fast: Installation):
    programs = [fast.ingest(), fast.worker()]
    await fast.running(*programs)
    await fast.kill_redis()
    await until(lambda: all(one.lines("Redis does not answer") for one in programs), "both have noticed")
    for one in programs:
        assert await one.stop(most_s=30) == 0
    assert_plain(*programs)


async def test_without_an_encryption_key_no_program_starts_and_the_error_names_the_command(fast: Installation):
    for one in (fast.ingest(ENCRYPTION_KEY=""), fast.worker(ENCRYPTION_KEY="")):
        assert await one.ended() == 1
        said = [line for line in one.log.splitlines() if "ENCRYPTION_KEY" in line]
        assert len(said) == 1
        assert "To make a key, run `ik-slack keys generate`" in said[0]
        assert_plain(one)


@pytest.mark.slow
async def test_a_wrong_encryption_key_parks_the_integration_and_the_right_one_resumes_it(fast: Installation):
    fast.workspace.add_channel("ops")
    await fast.connect("#ops")
    other = generate_key()
    ingest, wrong = fast.ingest(), fast.worker(ENCRYPTION_KEY=other)
    await fast.publish(numbered_alert(1), numbered_alert(2))
    (said,) = await until(lambda: wrong.lines("integration parked"), "the worker says so")
    assert "cannot be decrypted with this ENCRYPTION_KEY" in said["reason"]
    assert "Put that key back" in said["hint"]
    assert (await fast.balance()).parked == 2
    await wrong.stop()
    right = fast.worker(ENCRYPTION_KEY=f"{other},{fast.environment['ENCRYPTION_KEY']}")
    await fast.settled(2)
    assert fast.marks("#ops") == marks(1, 2)
    assert_plain(ingest, wrong, right)


async def test_commands_report_an_unreachable_redis_in_one_line(fast: Installation):
    await fast.kill_redis()
    said = await fast.cli("subscriptions", "list")
    assert said.code == 1
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("Error: Redis does not answer")
