"""A token is nowhere to be read: not in Redis, Flower, metrics, a file, a log, nor what commands say."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path

import aiohttp
import click
import pytest
from support.events import numbered_alert
from support.faults import NOT_STORED
from support.installation import CommandResult, Installation, Program, program, until

from worker.bootstrap.procfile_supervisor import procfile
from worker.cli import cli
from worker.local_machine import free_port, load_startup_key
from worker.sandbox.slack.server import STORED

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

TASKS_TABLE = "draw=1&start=0&length=1000&search[value]=&order[0][column]=0&order[0][dir]=asc&columns[0][data]=name"
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


async def everything_in_redis(installation: Installation) -> AsyncIterator[bytes]:
    """Every key with all it holds."""
    async for key in installation.redis.scan_iter():
        kind = (await installation.redis.type(key)).decode()
        yield key + repr(await installation.redis.execute_command(*READ[kind](key))).encode()


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


def faults(installation: Installation) -> dict[str, str]:
    """By the channel that meets it; one of Slack's codes repeats the token."""
    return {f"f{n:02}": fault for n, fault in enumerate((*WIRE_FAULTS, *CODES, installation.workspace.token))}


def start_flower(installation: Installation) -> Program:
    """As the Procfile has it."""
    (line,) = [found.command for found in procfile(Path(__file__).parents[2]) if found.name == "flower"]
    path = f"{Path(program('celery')).parent}:/usr/bin:/bin"
    return installation.start("flower", ("/bin/sh", "-c", f"exec {line}"), PATH=path)


@pytest.mark.thorough
@pytest.mark.slow
async def test_no_output_and_no_stored_data_contains_a_secret_after_any_failure(watched: Installation):
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
    link = next(line for line in logs if "/login?key=" in line)  # printed for a person, and not logged
    logs.remove(link)
    assert link.partition("key=")[2] not in "".join(logs)
    assert {line for line in logs if not line.startswith("{")} <= CELERYS_LAST_WORDS, "passed no redaction"
    assert readable_in(found, secrets) == set()


def key_of(installation: Installation) -> list[str]:
    """The encryption key as it is set, and the Fernet key that is in it."""
    key = installation.environment["ENCRYPTION_KEY"]
    return [key, base64.b64decode(key).decode()]


async def all_faults(installation: Installation) -> None:
    """Each channel meets its fault and is told all the same; one message is a dead letter."""
    for channel, fault in faults(installation).items():
        installation.sandbox.fault(fault, channel=channel, delay_s=1)
    installation.sandbox.fault("invalid_blocks", channel="dead", times=2)
    channels = ("dead", *faults(installation))
    await installation.publish(*(numbered_alert(number, channel) for number, channel in enumerate(channels)))

    async def settled() -> bool:
        balance = await installation.balance()
        return balance.delivered == len(channels) - 1 and balance.dead == 1

    await until(settled, "each fault is over", told=lambda: installation.sandbox.faults)


async def dies_while_posting(installation: Installation, worker: Program, **more: str) -> Program:
    """kill -9, with a post on its way: the next worker."""
    installation.sandbox.fault("slow", channel="crash")
    calls = installation.sandbox.calls["chat.postMessage"]
    await installation.publish(numbered_alert(100, "crash"))
    await until(lambda: installation.sandbox.calls["chat.postMessage"] > calls, "it posts")
    await worker.kill()
    await lease_ends(installation)
    following = installation.worker(**more)
    await until(lambda: following.lines("attempt"), "the next worker tells it")
    return following


async def spoilt_integration(installation: Installation, worker: Program) -> CommandResult:
    """A record that cannot be read: an unexpected error in a drain, a task and a command, whose result is returned."""
    kept = await installation.redis.hget("ik:integrations", "acme")
    await _integration(installation, json.dumps({**json.loads(kept), "spoilt": True}))
    await installation.publish(numbered_alert(101, "crash"))
    await until(
        lambda: any("TypeError" in line["exception"] for line in worker.lines("unexpected error")), "it is logged"
    )
    async with flower_session(installation) as session:
        path = "/api/task/async-apply/slack.refresh_directory"
        assert (await session.post(path, json={"args": ["acme"]})).status == 200
    await until(lambda: "slack.refresh_directory" in worker.log, "a task fails")
    said = await installation.cli("integrations", "list")
    assert (said.code, "Traceback" in said.err) == (1, True)
    await _integration(installation, kept)
    await lease_ends(installation)
    return said


async def lease_ends(installation: Installation) -> None:
    """Nobody holds the lane or sweeps any more, as half a minute later."""
    await installation.redis.delete("ik:lane:acme/#crash:lease", "ik:lock:sweep")
    await installation.redis.zadd("ik:due", {"acme/#crash": 1})


async def _integration(installation: Installation, kept: str | bytes) -> None:
    await installation.redis.hset("ik:integrations", "acme", kept)
    await installation.redis.incr("ik:version:integrations")


async def revoked_and_rotated(installation: Installation, worker: Program, new: str) -> list[CommandResult]:
    """Parked, looked at with every command that reads, and given another token: what commands said.

    With the new token in hand, the worker trips over a spoilt record.
    """
    installation.workspace.revoke(installation.workspace.token)
    await installation.publish(numbered_alert(102))
    await until(lambda: worker.lines("integration parked"), "the integration parks")
    said = await all_that_reads(installation)
    waiting = f"ik:delivery:{(await installation.deliveries())[-1].id}"
    accepted = await installation.redis.hget(waiting, "accepted")
    await installation.redis.hset(waiting, "accepted", "spoilt")
    rotate = ("integrations", "rotate", "acme", "--token-stdin")
    said += [await installation.cli(*rotate, given=UNKNOWN), await installation.cli(*rotate, given=new)]
    assert [told.code for told in said[-2:]] == [1, 0]
    await until(lambda: worker.lines("unexpected error"), "it trips")
    await installation.redis.hset(waiting, "accepted", accepted)
    await until(lambda: installation.messages("#ops"), "all goes on")
    return said


async def all_that_reads(installation: Installation) -> list[CommandResult]:
    """What each command says that reads, as JSON, and the checks in words."""
    subscription = (await installation.app.subscriptions.list_all())[0].id
    letter = (await installation.app.dead_letters.list_all())[0].id
    event = installation.directory / "event.json"
    event.write_text(json.dumps(numbered_alert(1)))
    about = {
        "integrations show": ("acme",),
        "integrations test": ("acme",),
        "subscriptions show": (subscription,),
        "subscriptions preview": (subscription,),
        "deliveries show": ((await installation.deliveries())[0].id,),
        "dead-letters show": (letter,),
        "explain": ("evt-1",),
        "preview": (f"{event}",),
    }
    asked = [(*path.split(), *about.get(path, ()), "--json") for path in reading_commands()]
    said = await asyncio.gather(*(installation.cli(*words) for words in (*asked, ("doctor",))))
    for words, told in zip(asked, said, strict=False):
        assert json.loads(told.out) is not None, f"{words}: {told}"
    return said


def flower_session(installation: Installation) -> aiohttp.ClientSession:
    """A session of a user who has logged in to Flower."""
    login = base64.b64encode(":".join(LOGIN).encode()).decode()
    base = f"http://127.0.0.1:{installation.environment['FLOWER_PORT']}"
    return aiohttp.ClientSession(base, headers={"Authorization": f"Basic {login}"})


async def flower_shows(installation: Installation) -> Found:
    """Its pages and what its API answers, of every task too."""
    shown: Found = {}
    async with flower_session(installation) as session:

        async def get(page: str) -> bytes:
            async with session.get(page) as answer:
                assert answer.status == 200, f"{page}: {answer.status}"
                return await answer.read()

        async def tasks() -> dict[str, dict[str, str]]:
            found = json.loads(await get("/api/tasks"))
            seen = {(task["name"], task["state"]) for task in found.values()}
            expected = {("slack.refresh_directory", "FAILURE"), ("slack.dead_letter", "PENDING")}
            return found if expected <= seen else {}

        ids = await until(tasks, "Flower shows the task that failed and the dead letter")
        pages = (*FLOWER_PAGES, *(f"{page}/{id_}" for id_ in ids for page in ("/task", "/api/task/info")))
        for page in pages:
            shown[page] = await get(page)
    assert any(b"TypeError" in text for page, text in shown.items() if page.startswith("/task/"))
    return shown


async def web_shows(installation: Installation) -> Found:
    """What anybody may read of our own web process."""
    base = f"http://127.0.0.1:{installation.environment['WEB_PORT']}"
    jar = aiohttp.CookieJar(unsafe=True)
    headers = {"authorization": f"Bearer {load_startup_key(installation.app.settings.data_dir)}"}
    async with aiohttp.ClientSession(base, raise_for_status=True, cookie_jar=jar, headers=headers) as session:
        await session.get("/login", params={"key": headers["authorization"].removeprefix("Bearer ")})
        return {page: await (await session.get(page)).read() for page in WEB_PAGES}


def arguments_of(pid: int) -> bytes:
    """What other users of the machine see of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def _numbered(held: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    number = 0
    async for one in held:
        yield number, one
        number += 1
