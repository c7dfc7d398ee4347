"""A token is nowhere to be read: not in Redis, Flower, metrics, a file, a log, nor what commands say."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path

import aiohttp
import click
import pytest
from installation import Installation, Program, Told, alert, program, until

from worker.cli import cli
from worker.cli.procfile import procfile
from worker.sandbox.faults import NOT_STORED, STORED
from worker.sandbox.machine import free_port

UNKNOWN = "xoxb-1-not-known"
LOGIN = ("ops", "what-nobody-may-read")
READ = {
    "string": lambda key: ("GET", key),
    "hash": lambda key: ("HGETALL", key),
    "list": lambda key: ("LRANGE", key, 0, -1),
    "set": lambda key: ("SMEMBERS", key),
    "zset": lambda key: ("ZRANGE", key, 0, -1, "WITHSCORES"),
    "stream": lambda key: ("XRANGE", key, "-", "+"),
}
WIRE_FAULTS = sorted((NOT_STORED | STORED) - {"rate_limited"})  # which is half a minute's wait
CODES = ("internal_error", "service_unavailable", "restricted_action", "msg_too_long", "never_heard_of")
CHANGING = {
    "integrations add", "integrations rotate", "channels refresh", "publish", "api-tokens add",
    "subscriptions add", "subscriptions apply", "subscriptions test",
}  # fmt: skip
"""Commands that take `--json` too; the others with it only read."""

TASKS_TABLE = (
    "draw=1&start=0&length=1000&search[value]=&order[0][column]=0&order[0][dir]=asc&columns[0][data]=name"
)
FLOWER_PAGES = (
    "/", "/broker", "/tasks", f"/tasks/datatable?{TASKS_TABLE}", "/workers?json=1", "/metrics",
    "/api/workers?refresh=1", "/api/queues/length", "/api/tasks", "/api/task/types",
)  # fmt: skip

WEB_PAGES = (
    "/metrics", "/readyz", "/healthz", "/api/openapi.json",
    "/", "/integrations", "/integrations/acme", "/integrations/acme/channel", "/integrations/slack/setup",
)  # fmt: skip

SEEN = dict.fromkeys(("appendonly", "flower/state", "worker.log", "Flower's", "Redis holds"), b"acme") | {
    "the web's": b"token_revoked", "flower.log": b"kombu",
    "a command said": b"integrations", "the arguments of": b"celery",
}  # fmt: skip
"""What was looked into, with a word that stands there for sure."""

CELERYS_LAST_WORDS = {"", "worker: Warm shutdown (MainProcess)"}

Found = dict[str, bytes]


async def everything_in_redis(one: Installation) -> AsyncIterator[bytes]:
    """Every key with all it holds."""
    async for key in one.redis.scan_iter():
        kind = (await one.redis.type(key)).decode()
        yield key + repr(await one.redis.execute_command(*READ[kind](key))).encode()


def spellings(secret: str) -> list[bytes]:
    """A secret as it is, without a token's prefix, and in base64 at each of the three offsets."""
    bare = secret.partition("-")[2] or secret
    encoded = [base64.b64encode(b"x" * offset + secret.encode())[4:-4] for offset in range(3)]
    return [secret.encode(), bare.encode(), *encoded]


def readable_in(found: Mapping[str, bytes], secrets: Iterable[str]) -> set[str]:
    """Where any spelling of any secret stands."""
    forms = [form for secret in secrets for form in spellings(secret)]
    return {name for name, text in found.items() for form in forms if form in text}


def reading_commands() -> Iterator[str]:
    """Every command that takes `--json` and changes nothing."""

    def below(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
        if not isinstance(command, click.Group):
            yield path, command
            return
        with click.Context(command) as context:
            for name in command.list_commands(context):
                if child := command.get_command(context, name):
                    yield from below(child, f"{path} {name}".strip())

    for path, command in below(cli, ""):
        if path not in CHANGING and any(one.name == "as_json" for one in command.params):
            yield path


@pytest.fixture
async def watched(fast: Installation) -> Installation:
    """One that logs all it can, with a channel for each fault, and Flower."""
    ports = {"FLOWER_PORT": str(free_port()), "WEB_PORT": str(free_port())}
    fast.environment |= {"LOG_LEVEL": "DEBUG", **ports}
    fast.environment["FLOWER_BASIC_AUTH"] = ":".join(LOGIN)
    for name in ("ops", "crash", "dead", *faults(fast)):
        fast.workspace.add_channel(name)
    await fast.connect("#ops", "#crash", "#dead", *(f"#{name}" for name in faults(fast)))
    return fast


def faults(one: Installation) -> dict[str, str]:
    """By the channel that meets it; one of Slack's codes repeats the token."""
    return {f"f{n:02}": fault for n, fault in enumerate((*WIRE_FAULTS, *CODES, one.workspace.token))}


def start_flower(one: Installation) -> Program:
    """As the Procfile has it."""
    (line,) = [found.command for found in procfile(Path(__file__).parents[2]) if found.name == "flower"]
    path = f"{Path(program('celery')).parent}:/usr/bin:/bin"
    return one.start("flower", ("/bin/sh", "-c", f"exec {line}"), PATH=path)


@pytest.mark.slow
async def test_no_secret_is_to_be_read_anywhere_whatever_went_wrong(watched: Installation):
    one = watched
    tokens = [one.workspace.token, one.workspace.add_token(), one.workspace.add_token(), UNKNOWN]
    secrets = [*tokens, *key_of(one), LOGIN[1]]
    first = one.worker()
    flower, web, ingest = start_flower(one), one.start("web", ("ik-slack", "web")), one.ingest()
    await one.running(first, ingest)

    await all_faults(one)
    worker = await dies_while_posting(one, first, SLACK_BOT_TOKEN=tokens[2])
    said = [await spoilt_integration(one, worker)]
    said += await revoked_and_rotated(one, worker, tokens[1])
    found = {f"Flower's {page}": text for page, text in (await flower_shows(one)).items()}
    found |= {f"the web's {page}": text for page, text in (await web_shows(one)).items()}
    running = (flower, web, worker, ingest)
    found |= {f"the arguments of {each.name}": arguments_of(each.pid) for each in running}
    found["the arguments of Redis"] = arguments_of((await one.redis.info("server"))["process_id"])
    assert [await each.stop() for each in running] == [0, 0, 0, 0]
    found |= {f"what Redis holds ({n})": held async for n, held in _numbered(everything_in_redis(one))}
    found |= {str(path): path.read_bytes() for path in one.directory.rglob("*") if path.is_file()}
    found |= {f"what a command said ({n})": f"{told}".encode() for n, told in enumerate(said)}

    for part, word in SEEN.items():
        assert any(part in name and word in text for name, text in found.items()), f"nothing from {part}"
    logs = [line for each in (first, *running) for line in each.log.splitlines()]
    assert {line for line in logs if not line.startswith("{")} <= CELERYS_LAST_WORDS, "passed no redaction"
    assert readable_in(found, secrets) == set()


def key_of(one: Installation) -> list[str]:
    """The encryption key as it is set, and the Fernet key that is in it."""
    key = one.environment["ENCRYPTION_KEY"]
    return [key, base64.b64decode(key).decode()]


async def all_faults(one: Installation) -> None:
    """Each channel meets its fault and is told all the same; one message is a dead letter."""
    for channel, fault in faults(one).items():
        one.sandbox.fault(fault, channel=channel, delay_s=1)
    one.sandbox.fault("invalid_blocks", channel="dead", times=2)
    channels = ("dead", *faults(one))
    await one.publish(*(alert(number, channel) for number, channel in enumerate(channels)))

    async def settled() -> bool:
        balance = await one.balance()
        return balance.delivered == len(channels) - 1 and balance.dead == 1

    await until(settled, "each fault is over", told=one.sandbox.faults.told)


async def dies_while_posting(one: Installation, worker: Program, **more: str) -> Program:
    """kill -9, with a post on its way: the next worker."""
    one.sandbox.fault("slow", channel="crash")
    calls = one.sandbox.calls["chat.postMessage"]
    await one.publish(alert(100, "crash"))
    await until(lambda: one.sandbox.calls["chat.postMessage"] > calls, "it posts")
    await worker.kill()
    await lease_ends(one)
    following = one.worker(**more)
    await until(lambda: following.lines("attempt"), "the next worker tells it")
    return following


async def spoilt_integration(one: Installation, worker: Program) -> Told:
    """A traceback in a task and in a command, which is the answer."""
    kept = await one.redis.hget("ik:integrations", "acme")
    await _integration(one, json.dumps({**json.loads(kept), "spoilt": True}))
    await one.publish(alert(101, "crash"))
    await until(lambda: "slack.drain" in worker.log and "TypeError" in worker.log, "a task fails")
    said = await one.cli("integrations", "list")
    assert (said.code, "Traceback" in said.err) == (1, True)
    await _integration(one, kept)
    await lease_ends(one)
    return said


async def lease_ends(one: Installation) -> None:
    """Nobody holds the lane or sweeps any more, as half a minute later."""
    await one.redis.delete("ik:lane:acme/#crash:lease", "ik:lock:sweep")
    await one.redis.zadd("ik:due", {"acme/#crash": 1})


async def _integration(one: Installation, kept: str | bytes) -> None:
    await one.redis.hset("ik:integrations", "acme", kept)
    await one.redis.incr("ik:version:integrations")


async def revoked_and_rotated(one: Installation, worker: Program, new: str) -> list[Told]:
    """Parked, looked at with every command that reads, and given another token: what commands said.

    With the new token in hand, the worker trips over a spoilt record.
    """
    one.workspace.revoke(one.workspace.token)
    await one.publish(alert(102))
    await until(lambda: worker.lines("integration parked"), "the integration parks")
    said = await all_that_reads(one)
    waiting = f"ik:delivery:{(await one.deliveries())[-1].id}"
    accepted = await one.redis.hget(waiting, "accepted")
    await one.redis.hset(waiting, "accepted", "spoilt")
    rotate = ("integrations", "rotate", "acme", "--token-stdin")
    said += [await one.cli(*rotate, given=UNKNOWN), await one.cli(*rotate, given=new)]
    assert [told.code for told in said[-2:]] == [1, 0]
    await until(lambda: worker.lines("a fault of this program"), "it trips")
    await one.redis.hset(waiting, "accepted", accepted)
    await until(lambda: one.messages("#ops"), "all goes on")
    return said


async def all_that_reads(one: Installation) -> list[Told]:
    """What each command says that reads, as JSON, and the checks in words."""
    subscription = (await one.made.subscriptions.all())[0].id
    letter = (await one.made.dead_letters.all())[0].id
    event = one.directory / "event.json"
    event.write_text(json.dumps(alert(1)))
    about = {
        "integrations show": ("acme",),
        "integrations test": ("acme",),
        "subscriptions show": (subscription,),
        "deliveries show": ((await one.deliveries())[0].id,),
        "dead-letters show": (letter,),
        "explain": ("evt-1",),
        "preview": (f"{event}",),
    }
    asked = [(*path.split(), *about.get(path, ()), "--json") for path in reading_commands()]
    said = await asyncio.gather(*(one.cli(*words) for words in (*asked, ("doctor",))))
    for words, told in zip(asked, said, strict=False):
        assert json.loads(told.out) is not None, f"{words}: {told}"
    return said


async def flower_shows(one: Installation) -> Found:
    """Its pages and what its API answers, of every task too."""
    base = f"http://127.0.0.1:{one.environment['FLOWER_PORT']}"
    shown: Found = {}
    login = base64.b64encode(":".join(LOGIN).encode()).decode()
    async with aiohttp.ClientSession(base, headers={"Authorization": f"Basic {login}"}) as session:

        async def get(page: str) -> bytes:
            async with session.get(page) as answer:
                assert answer.status == 200, f"{page}: {answer.status}"
                return await answer.read()

        async def tasks() -> dict[str, dict[str, str]]:
            found = json.loads(await get("/api/tasks"))
            seen = {(task["name"], task["state"]) for task in found.values()}
            return found if {("slack.drain", "FAILURE"), ("slack.dead_letter", "PENDING")} <= seen else {}

        ids = await until(tasks, "Flower knows of the task that failed and of the dead letter")
        pages = (*FLOWER_PAGES, *(f"{page}/{id_}" for id_ in ids for page in ("/task", "/api/task/info")))
        for page in pages:
            shown[page] = await get(page)
    assert any(b"TypeError" in text for page, text in shown.items() if page.startswith("/task/"))
    return shown


async def web_shows(one: Installation) -> Found:
    """What anybody may read of our own web process."""
    base = f"http://127.0.0.1:{one.environment['WEB_PORT']}"
    async with aiohttp.ClientSession(base, raise_for_status=True) as session:
        return {page: await (await session.get(page)).read() for page in WEB_PAGES}


def arguments_of(pid: int) -> bytes:
    """What other users of the machine see of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def _numbered(held: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    number = 0
    async for one in held:
        yield number, one
        number += 1
