"""The bridge on a real RabbitMQ: each message taken once whatever is killed, no secret, one line for each failure."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from support.bridge import (
    all_samples,
    assert_each_taken_once,
    assert_no_secret,
    bridge_reads,
    keep_stream,
    make_load,
    run_with_kills,
    start_bridge,
)
from support.infrakitchen import resource
from support.installation import STREAM, Installation, until
from support.rabbitmq import RabbitServer, delete_queue, needs_rabbitmq, publish, queue_figures, run_rabbitmq

pytestmark = [needs_rabbitmq, pytest.mark.slow]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """One RabbitMQ for all tests of this file: it takes seconds to start."""
    with run_rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


@pytest.fixture
async def rabbitmq(server: RabbitServer) -> RabbitServer:
    """The server without a queue of earlier tests."""
    await delete_queue(server.url)
    return server


async def test_each_message_is_taken_once_whatever_is_killed_and_no_secret_leaves_rabbitmq(
    fast: Installation, rabbitmq: RabbitServer
):
    fast.workspace.add_channel("ops")
    await fast.connect(rules=[{"destination": "#ops"}])
    await keep_stream(fast)
    programs = [fast.ingest(), fast.worker()]
    await fast.running(*programs)
    load = make_load(240)
    await run_with_kills(fast, rabbitmq, load, seed=16, bridge_kills=3, server_kills=1)
    await assert_each_taken_once(fast, load)

    bridge = start_bridge(fast, rabbitmq)
    await bridge_reads(rabbitmq)
    before = await fast.redis.xlen(STREAM)
    await publish(rabbitmq.url, all_samples())
    await until(lambda: _has_more(fast, before + 15), "the samples are taken")
    assert await bridge.stop() == 0
    await fast.settled(await fast.redis.xlen(STREAM))
    await assert_no_secret(fast)


async def test_a_message_that_cannot_be_read_is_a_dead_letter_whose_secrets_are_masked(
    fast: Installation, rabbitmq: RabbitServer
):
    await keep_stream(fast)
    await fast.running(fast.ingest())
    bridge = start_bridge(fast, rabbitmq)
    await bridge_reads(rabbitmq)
    secrets = json.dumps({"_entity_name": "task", "variables": [{"name": "token", "value": "hunter2-secret"}]}).encode()
    await publish(rabbitmq.url, [b"\xff no JSON", secrets, secrets[:-1], b"{}", resource("provision", "queued")])

    async def all_accounted() -> bool:
        balance = await fast.balance()
        return (balance.rejected, balance.accepted, balance.unaccounted) == (4, 1, 0)

    await until(all_accounted, "each message is accepted or rejected")
    letters = await fast.app.dead_letters.list_all()
    kept = sorted(letter.raw[b"event"] for letter in letters if letter.raw)
    masked = b'{"_entity_name": "task", "variables": "***"}'
    assert kept == sorted([b"\xff no JSON", masked, b'{"_entity_name": "task", ', b"{}"])
    assert await bridge.stop() == 0
    assert "hunter2" not in bridge.log + json.dumps(await _entries(fast))


async def _entries(installation: Installation) -> list[str]:
    return [repr(entry) for entry in await installation.redis.xrange(STREAM)]


async def _has_more(installation: Installation, than: int) -> bool:
    return bool(await installation.redis.xlen(STREAM) > than)


@pytest.mark.thorough
async def test_a_rabbitmq_that_is_away_is_one_line_and_is_read_when_it_answers(
    fast: Installation, rabbitmq: RabbitServer
):
    early = start_bridge(fast, rabbitmq, AMQP_URL="amqp://127.0.0.1:9/")
    bridge = start_bridge(fast, rabbitmq)
    await bridge_reads(rabbitmq)
    await publish(rabbitmq.url, [resource("provision", "queued")])
    await until(lambda: fast.redis.xlen(STREAM), "the message is taken")
    findings = await _findings(fast, rabbitmq.url)
    assert findings["RabbitMQ"]["detail"].startswith("answers; the last message came at ")
    assert findings["bridge"]["detail"] == "1 bridge connected"
    assert findings["bridge queue"]["detail"] == "0 messages waiting"

    await asyncio.to_thread(rabbitmq.kill)
    await until(lambda: bridge.lines("RabbitMQ does not answer"), "the failure is logged")
    findings = await _findings(fast, rabbitmq.url)
    assert (findings["RabbitMQ"]["level"], findings["RabbitMQ"]["detail"]) == ("failed", "RabbitMQ does not answer")
    assert (await fast.cli("alive", "bridge")).code == 0
    await asyncio.to_thread(rabbitmq.start)
    await publish(rabbitmq.url, [resource("provision", "in_progress")])
    await until(lambda: _has_more(fast, 1), "the next message is taken")
    assert (await bridge.stop(), await early.stop()) == (0, 0)
    for program in (bridge, early):
        assert len([line for line in program.log.splitlines() if '"ERROR"' in line or "Traceback" in line]) == 1


@pytest.mark.thorough
async def test_the_rights_that_the_documents_name_suffice_and_a_missing_one_is_named(
    fast: Installation, rabbitmq: RabbitServer
):
    from worker.bridge.rabbitmq import PERMISSIONS

    configure, write, read = (part.strip("'") for part in PERMISSIONS.split())
    await asyncio.to_thread(rabbitmq.ctl, "add_user", "ik-slack", "secret")
    address = rabbitmq.address("ik-slack", "secret")
    bridge = start_bridge(fast, rabbitmq, AMQP_URL=address)
    await until(lambda: "RabbitMQ does not let the user into the virtual host" in bridge.log, "no access is logged")
    await asyncio.to_thread(rabbitmq.ctl, "set_permissions", "ik-slack", configure, "^$", read)
    await until(lambda: bridge.lines("RabbitMQ does not allow its user to do this"), "the missing right is logged")
    assert "set_permissions" in str((await _findings(fast, address))["RabbitMQ"]["fix"])
    await asyncio.to_thread(rabbitmq.ctl, "set_permissions", "ik-slack", configure, write, "^ik_.*$")
    assert "set_permissions" in str((await _findings(fast, address))["RabbitMQ"]["fix"])
    await asyncio.to_thread(rabbitmq.ctl, "set_permissions", "ik-slack", configure, write, read)
    await bridge_reads(rabbitmq)
    assert await bridge.stop() == 0
    wrong = start_bridge(fast, rabbitmq, AMQP_URL=rabbitmq.address("ik-slack", "wrong"))
    await until(lambda: wrong.lines("RabbitMQ does not accept the login"), "the wrong password is logged")
    await wrong.stop()
    assert "secret" not in bridge.log + wrong.log


async def test_a_bridge_that_stops_acknowledges_only_what_is_in_the_stream(fast: Installation, rabbitmq: RabbitServer):
    bridge = start_bridge(fast, rabbitmq)
    await bridge_reads(rabbitmq)
    failures = [resource("provision", "error", id=f"id-{number}") for number in range(1500)]
    publishing = asyncio.create_task(publish(rabbitmq.url, failures))
    await until(lambda: _holds(fast), "failures wait for their reasons")
    assert await bridge.stop() == 0
    await publishing
    waiting = (await queue_figures(rabbitmq.url)).message_count or 0
    assert await fast.redis.xlen(STREAM) + waiting == len(failures)


async def _holds(installation: Installation) -> bool:
    return bool(await installation.redis.zcard(installation.app.redis.keys.bridge("held")))


async def _findings(installation: Installation, address: str) -> dict[str, dict[str, str]]:
    """Return what `doctor` finds, by the name of the check."""
    findings = json.loads((await installation.cli("doctor", "--json", AMQP_URL=address)).out)
    return {finding["check"]: finding for finding in findings}
