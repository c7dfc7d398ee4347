"""A token is nowhere to be read: not in Redis, its files, a log or what a command says."""

import base64
import subprocess
from collections.abc import AsyncIterator

import pytest
from installation import Installation, alert, until

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


@pytest.mark.slow
async def test_no_token_is_in_redis_its_files_or_any_log_whatever_went_wrong(fast: Installation):
    fast.workspace.add_channel("ops")
    fast.environment["LOG_LEVEL"] = "DEBUG"
    tokens = [fast.workspace.token, fast.workspace.add_token(), fast.workspace.add_token()]
    said = [await fast.cli("integrations", "add", "acme", "--token-stdin", given=tokens[0])]
    said += [await fast.cli("subscriptions", "apply", "-", given='[{"destination": "#ops"}]')]
    programs = [fast.ingest(), fast.worker(SLACK_BOT_TOKEN=tokens[2])]
    for number, fault in enumerate(("http_500", "reset_after", "bad_json", "json_list", "ratelimited")):
        fast.sandbox.fault(fault)
        await fast.publish(alert(number))
        await fast.settled(number + 1)
    assert not fast.sandbox.faults
    fast.workspace.revoke(tokens[0])
    await fast.publish(alert(5))
    await until(lambda: programs[1].lines("integration parked"), "the integration parks")
    said += [await fast.cli("integrations", "test", "acme")]
    said += [await fast.cli("integrations", "rotate", "acme", "--token-stdin", given=tokens[1])]
    said += [await fast.cli("integrations", "rotate", "acme", "--token-stdin", given="xoxb-1-not-known")]
    said += [await fast.cli("integrations", "show", "acme", "--json")]
    assert [one.code for one in said] == [0, 0, 1, 0, 1, 0]
    await fast.settled(6)

    found = {f"what Redis holds ({n})": held async for n, held in _numbered(everything_in_redis(fast))}
    found |= {str(path): path.read_bytes() for path in fast.directory.rglob("*") if path.is_file()}
    found |= {f"what a command said ({n})": f"{one}".encode() for n, one in enumerate(said)}
    assert sum("appendonly" in name for name in found) >= 1
    assert sum(bool(one.log) for one in programs) == 2
    tokens.append("xoxb-1-not-known")
    where = {
        name for name, text in found.items() for token in tokens for form in spellings(token) if form in text
    }
    assert where == set()
    for one in programs:
        seen = subprocess.run(["ps", "-o", "args=", "-p", str(one.pid)], capture_output=True, check=True)
        assert b"ik-slack" in seen.stdout or b"celery" in seen.stdout
        assert b"xox" not in seen.stdout, "other users of the machine see a program's arguments"


async def _numbered(held: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    number = 0
    async for one in held:
        yield number, one
        number += 1
