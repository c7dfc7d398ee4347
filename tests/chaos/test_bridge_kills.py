"""2,000 messages of InfraKitchen's while the bridge and RabbitMQ are killed at random: each is taken once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.bridge import assert_each_taken_once, keep_stream, make_load, run_with_kills
from support.installation import Installation
from support.rabbitmq import RabbitServer, needs_rabbitmq, run_rabbitmq


@pytest.fixture
def rabbitmq(tmp_path: Path) -> Iterator[RabbitServer]:
    with run_rabbitmq(tmp_path / "rabbitmq") as server:
        yield server


@needs_rabbitmq
async def test_a_bridge_and_a_rabbitmq_killed_repeatedly_lose_and_repeat_no_message(
    installation: Installation, rabbitmq: RabbitServer, seed: int
):
    await keep_stream(installation)
    await installation.running(installation.ingest())
    load = make_load(2000)
    await run_with_kills(installation, rabbitmq, load, seed=seed, bridge_kills=12, server_kills=4)
    await assert_each_taken_once(installation, load)
