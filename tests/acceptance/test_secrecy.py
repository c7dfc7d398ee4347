"""A token is nowhere to be read: not in Redis, its files, a log, Flower or what a command says."""

import base64
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from installation import Installation, alert, until

import config
from worker.sandbox.machine import free_port

FLOWER = Path(config.__file__).with_name("flowerconfig.py")

READ = {
    "string": lambda key: ("GET", key),
    "hash": lambda key: ("HGETALL", key),
    "list": lambda key: ("LRANGE", key, 0, -1),
    "set": lambda key: ("SMEMBERS", key),
    "zset": lambda key: ("ZRANGE", key, 0, -1, "WITHSCORES"),
    "stream": lambda key: ("XRANGE", key, "-", "+"),
}


async def everything_in_redis(one: Installation) -> AsyncIterator[bytes]:
    """Every key with all it holds."""
    async for key in one.redis.scan_iter():
        kind = (await one.redis.type(key)).decode()
        yield key + repr(await one.redis.execute_command(*READ[kind](key))).encode()


def spellings(token: str) -> list[bytes]:
    """A token as it is, without its prefix, and in base64 at each of the three offsets."""
    bare = token.partition("-")[2].encode()
    encoded = [base64.b64encode(b"x" * offset + token.encode())[4:-4] for offset in range(3)]
    return [token.encode(), bare, *encoded]


READING = (
    ("integrations", "list"), ("integrations", "show", "acme"), ("channels", "list"), ("channels", "refresh"),
    ("subscriptions", "list"), ("deliveries", "list"), ("parked", "list"), ("dead-letters", "list"),
    ("ledger",), ("explain", "evt-0"), ("doctor",), ("integrations", "test", "acme"),
)  # fmt: skip
PAGES = ("api/tasks", "api/workers?refresh=1", "api/queues/length", "metrics", "tasks", "workers", "broker")
LOGIN = ("ann", "flower-password")


@pytest.mark.slow
async def test_no_token_and_no_key_is_anywhere_whatever_went_wrong(fast: Installation):
    fast.workspace.add_channel("ops")
    login = {"FLOWER_BASIC_AUTH": ":".join(LOGIN), "FLOWER_PORT": str(free_port())}
    fast.environment |= {"LOG_LEVEL": "DEBUG", **login}
    tokens = [fast.workspace.token, fast.workspace.add_token(), fast.workspace.add_token()]
    said = [await fast.cli("integrations", "add", "acme", "--token-stdin", given=tokens[0])]
    rules = '[{"destination": "#ops"}, {"destination": "ann@example.com", "project": "broken"}]'
    said += [await fast.cli("subscriptions", "apply", "-", given=rules)]
    flower = fast.start("flower", ("celery", "-q", "-A", "worker", "flower", f"--conf={FLOWER}"))
    programs = [fast.ingest(), fast.worker(SLACK_BOT_TOKEN=tokens[2]), flower]
    seen = [page async for page in pages(fast.environment["FLOWER_PORT"], *PAGES)]  # it listens from now on

    await go_wrong(fast)
    fast.workspace.revoke(tokens[0])
    await fast.publish(alert(5))
    await until(lambda: programs[1].lines("integration parked"), "the integration parks")
    said += [await fast.cli("integrations", "test", "acme")]
    said += [await fast.cli("integrations", "rotate", "acme", "--token-stdin", given=tokens[1])]
    said += [await fast.cli("integrations", "rotate", "acme", "--token-stdin", given="xoxb-1-not-known")]
    assert [one.code for one in said] == [0, 0, 1, 0, 1]
    await until(lambda: told(fast, 6), "all but the broken one are told")
    assert "Traceback" in programs[1].log
    said += [await fast.cli(*words, "--json") for words in READING]

    async def shown() -> list[tuple[str, bytes]]:
        return [page async for page in pages(fast.environment["FLOWER_PORT"], *PAGES)]

    seen += await until(shown, "Flower's pages")
    tasks = json.loads(dict(seen)["api/tasks"])
    assert tasks, "Flower has seen what happened"
    details = [f"{place}/{next(iter(tasks))}" for place in ("task", "api/task/info")]
    seen += [page async for page in pages(fast.environment["FLOWER_PORT"], *details)]
    assert await flower.stop() == 0  # it writes its state down

    found = {f"what Redis holds ({n})": held async for n, held in _numbered(everything_in_redis(fast))}
    found |= {str(path): path.read_bytes() for path in fast.directory.rglob("*") if path.is_file()}
    found |= {f"what a command said ({n})": f"{one}".encode() for n, one in enumerate(said)}
    found |= {f"Flower's {name}": page for name, page in seen}
    assert sum("appendonly" in name for name in found) >= 1
    assert any("flower/state" in name for name in found)
    assert all(one.log for one in programs)
    key = fast.environment["ENCRYPTION_KEY"].encode()
    forms = [form for one in (*tokens, "xoxb-1-not-known") for form in spellings(one)]
    forms += [key, base64.b64decode(key)]
    assert {name for name, text in found.items() for form in forms if form in text} == set()
    for one in programs[:2]:
        listed = subprocess.run(["ps", "-o", "args=", "-p", str(one.pid)], capture_output=True, check=True)
        assert b"ik-slack" in listed.stdout or b"celery" in listed.stdout
        assert b"xox" not in listed.stdout, "other users of the machine see a program's arguments"


async def go_wrong(one: Installation) -> None:
    """Five ways in which Slack fails, each told in the end, and a record that our own code falls over."""
    for number, fault in enumerate(("http_500", "reset_after", "bad_json", "json_list", "ratelimited")):
        one.sandbox.fault(fault)
        await one.publish(alert(number))
        await one.settled(number + 1)
    assert not one.sandbox.faults
    await one.redis.hset("ik:directory:acme:people", "ann@example.com", "no JSON")
    await one.publish(alert(100, "broken"))


async def told(one: Installation, count: int) -> bool:
    return (await one.balance()).delivered + (await one.balance()).merged >= count


async def pages(port: str, *paths: str) -> AsyncIterator[tuple[str, bytes]]:
    """What Flower answers to those who may look."""
    login = {"Authorization": f"Basic {base64.b64encode(':'.join(LOGIN).encode()).decode()}"}
    async with aiohttp.ClientSession(headers=login) as session:

        async def page(path: str) -> bytes | None:
            with suppress(aiohttp.ClientConnectionError):
                async with session.get(f"http://127.0.0.1:{port}/{path}") as answer:
                    assert answer.status == 200, (path, answer.status)
                    return await answer.read()
            return None

        for path in paths:
            yield path, await until(partial(page, path), f"Flower answers {path}")


async def _numbered(held: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    number = 0
    async for one in held:
        yield number, one
        number += 1
