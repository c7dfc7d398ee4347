"""Diagnostics: the health checks behind `ik-slack doctor`."""

import asyncio
import re
import stat
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import computed_field
from pydantic.dataclasses import dataclass

from config.settings import Settings
from worker.bootstrap.context import AppContext
from worker.domain.delivery import Address
from worker.domain.errors import Blocked, SlackError, UserError
from worker.domain.hints import CORRECT_TEMPLATE, NO_HINT, Action, Code, Hint, Step
from worker.domain.integration import Health, Integration, Secret
from worker.local_machine import is_loopback
from worker.pipeline.integration_setup import CHECK_NETWORK, fix_for, test_token
from worker.services.destinations import check_destinations
from worker.services.formatting import format_time, pluralize
from worker.services.schemas import HintField
from worker.services.status import ADD_INTEGRATION, LOST_FIX, START
from worker.store.bridge import BridgeStore
from worker.store.installation import FIX, LOST
from worker.store.ledger import take_ledger_snapshot
from worker.store.redis_errors import RedisFailure, StoreUnavailable
from worker.store.token_cipher import TokenCipher

UNCHECKED = re.compile(r"^rediss:.*[?&]ssl_cert_reqs=(?:cert_)?none(?:&|$)", re.IGNORECASE)
CHECK_S, SLACK_S = 3.0, 8.0
FIRST_S = 1.0  # when Redis is silent for longer, Slack is checked meanwhile
MIN_SECRET, MIN_PASSWORD = 24, 12
TOKEN_S, DESTINATION_S = 4.0, 4.0
NEARLY_FULL = 0.8
OLDEST_REDIS = (6, 2)
MAX_UNREAD = 1_000
START_OR_CORRECT = Hint.of("Start it, or correct its address and password in the settings.")
TWO_INSTALLATIONS = Hint.of(
    "Two installations need a KEY_PREFIX and an EVENTS_GROUP each. In one installation, give all processes the same "
    "ENCRYPTION_KEY, and restart them."
)


class Level(StrEnum):
    """Severity of a finding."""

    OK = "ok"
    NOTE = "note"  # worth knowing, not a fault
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """Result of one check, and the fix if it failed."""

    check: str
    level: Level
    detail: str
    fix: HintField = NO_HINT

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def ok(self) -> bool:
        """True unless the check failed."""
        return self.level is not Level.FAILED


Check = Callable[[AppContext], Awaitable[Sequence[Finding]]]


def finding_of(check: str, passed: bool, detail: str, fix: Hint, *, otherwise: Level = Level.FAILED) -> Finding:
    """Return a finding that has the fix only if the check did not pass."""
    return Finding(check, Level.OK, detail) if passed else Finding(check, otherwise, detail, fix)


async def run_check(
    app: AppContext, name: str, check: Check, *, timeout_s: float, fix: Hint = START_OR_CORRECT
) -> Sequence[Finding]:
    """Run one check. A time-out or a Redis error is reported as a failed check with `fix`."""
    try:
        async with asyncio.timeout(timeout_s):
            return await check(app)
    except TimeoutError:
        return [Finding(name, Level.FAILED, f"did not answer within {timeout_s:g} s", fix)]
    except StoreUnavailable as error:
        failure = error.failure
        fix = fix if failure is RedisFailure.NO_ANSWER else Hint.of(failure.fix)
        return [Finding(name, Level.FAILED, f"{failure.reason} ({error})", fix)]


async def run_diagnostics(app: AppContext, key_ring: Finding) -> list[Finding]:
    """Run all checks. Those that need Redis run only when it answers; `key_ring` is the result of `check_key_ring`."""
    checking = asyncio.ensure_future(
        asyncio.gather(
            run_check(app, "Redis", check_redis, timeout_s=CHECK_S),
            run_check(app, "broker", check_broker, timeout_s=CHECK_S),
        )
    )
    secrets = check_secrets(app.settings)
    answers: Sequence[Finding] = ()
    if not (await asyncio.wait({checking}, timeout=FIRST_S))[0]:
        answers = await run_check(app, "Slack", check_slack, timeout_s=CHECK_S - FIRST_S, fix=CHECK_NETWORK)
    redis, broker = await checking
    has_key = key_ring.level is Level.OK
    if len(redis) == 1 and redis[0].level is Level.FAILED:
        answers = answers or await run_check(app, "Slack", check_slack, timeout_s=CHECK_S, fix=CHECK_NETWORK)
        skipped = Finding("other checks", Level.NOTE, "not run: they need Redis")
        return [*redis, *broker, *([key_ring] if has_key else []), *answers, *secrets, skipped]
    groups = await asyncio.gather(
        *([run_check(app, "key ring", check_tokens, timeout_s=CHECK_S)] if has_key else []),
        run_check(app, "integrations", check_integrations, timeout_s=SLACK_S),
        run_check(app, "subscriptions", check_subscriptions, timeout_s=CHECK_S),
        run_check(app, "worker", check_processes, timeout_s=CHECK_S),
        run_check(app, "backlog", check_backlog, timeout_s=CHECK_S),
        run_check(app, "ledger", check_ledger, timeout_s=CHECK_S),
        *([check_rabbitmq(app)] if app.settings.rabbitmq else []),
    )
    return [*redis, *broker, *chain(*groups), *secrets]


def check_key_ring(settings: Settings) -> Finding:
    """Check ENCRYPTION_KEY itself, without Redis."""
    try:
        TokenCipher(settings.key_ring).require_keys()
    except UserError as error:
        return Finding("key ring", Level.FAILED, error.text.removesuffix("."), error.fix)
    return Finding("key ring", Level.OK, "ENCRYPTION_KEY can be read")


async def check_redis(app: AppContext) -> Sequence[Finding]:
    """Check that Redis answers, is new enough, and keeps what it stores."""
    await app.redis.command("PING")
    try:
        sections = ("server", "replication", "persistence", "memory", "cluster")
        info = {key: value for name in sections for key, value in (await app.redis.info(name)).items()}
    except StoreUnavailable as error:
        return [Finding("Redis", Level.NOTE, f"answers, but INFO does not show its version and settings ({error})")]
    if info.get("cluster_enabled") == "1":
        return [_version(info)]
    return [_version(info), _persistence(info), *_memory(info), *await _check_writing(app), *await _installation(app)]


async def check_broker(app: AppContext) -> Sequence[Finding]:
    """Check that the broker answers, and that its user may publish what Celery publishes."""
    await app.broker.command("PING")
    try:
        await app.broker.command("PUBLISH", f"{app.settings.key_prefix}:celery:/0.doctor", "")
    except StoreUnavailable as error:
        if error.failure is not RedisFailure.PERMISSION:
            raise
        fix = Hint.of("Give its user the right to all channels: ", Code("ACL SETUSER NAME allchannels"), ".")
        return [Finding("broker", Level.FAILED, "its user may not use channels, which Celery and Flower need", fix)]
    return [Finding("broker", Level.OK, "answers" if app.settings.broker != app.settings.redis_url else "uses Redis")]


async def check_tokens(app: AppContext) -> Sequence[Finding]:
    """Check that the key ring decrypts every token."""
    connections = (await app.integrations.get_connections()).values()
    unreadable = [
        Finding(f"{connection.integration.name}: key", Level.FAILED, "its token cannot be decrypted", error.fix)
        for connection in connections
        if (error := connection.unreadable)
    ]
    return unreadable or [Finding("key ring", Level.OK, f"decrypts {pluralize(len(connections), 'token')}")]


async def check_subscriptions(app: AppContext) -> Sequence[Finding]:
    """Check that a subscription is active, and that no template fails."""
    subscriptions, faults = await app.subscriptions.list_all(), await app.template_errors.list_current()
    active = [subscription for subscription in subscriptions if not subscription.paused]
    fix = Hint.of("To add one, ", Step(Action.ADD_SUBSCRIPTION), ".")
    detail = f"{len(active)} active" if active else "no active subscription: nothing is posted"
    failing = [
        Finding(f"{sub.id}: template", Level.FAILED, f"{result}: {error}", CORRECT_TEMPLATE)
        for sub in subscriptions
        if (error := faults.get(sub.id))
        for result in ("switched off" if error.exceeds_limit else "failed",)
    ]
    return [finding_of("subscriptions", bool(active), detail, fix, otherwise=Level.NOTE), *failing]


async def check_processes(app: AppContext) -> Sequence[Finding]:
    """Check that a worker and an ingest process run, and that the stream is read in time."""
    workers, readers = await app.processes.list_alive("worker"), await app.processes.list_alive("ingest")
    lag = await app.stream.lag()
    unread = pluralize(lag, "unread entry", "unread entries")
    fix = Hint.of("If it does not shrink, ", Step(Action.START_INGEST), " once more.") if readers else START
    return [
        finding_of("worker", bool(workers), f"{len(workers)} running" if workers else "none is running", START),
        finding_of("ingest", bool(readers), f"{len(readers)} running" if readers else "none is running", START),
        finding_of("stream", lag <= MAX_UNREAD, unread, fix, otherwise=Level.NOTE),
    ]


async def check_backlog(app: AppContext) -> Sequence[Finding]:
    """Report the lanes whose oldest deliveries will soon be dead letters, by number or by age."""
    settings = app.settings
    near = await app.backlogs.find_near_limit(
        running_s=settings.delivery_max_age_s, parked_s=settings.parked_max_age_s, only_new=False
    )
    list_pending = Code("ik-slack deliveries list --state pending")
    fix = Hint.of("To see why it waits, ", Step(Action.LIST_PARKED), " and ", list_pending, ".")
    return [
        Finding(f"{warning.lane}: {warning.kind}", Level.NOTE, warning.text, Hint.of(warning.consequence) + fix)
        for warning in near
    ] or [Finding("backlog", Level.OK, "no lane is near a limit")]


async def check_ledger(app: AppContext) -> Sequence[Finding]:
    """Report dead letters, parked lanes and a ledger that does not balance."""
    snapshot = await take_ledger_snapshot(app.redis)
    balance, lanes = snapshot.balance, snapshot.lanes
    dead = sum((await app.dead_letters.count_by_reason()).values())
    parked = sum(1 for lane in lanes if lane.parked or lane.integration_parked)
    waiting = f"{pluralize(parked, 'lane')} parked, {pluralize(balance.parked, 'delivery', 'deliveries')} waiting"
    missing = f"{balance.unaccounted:,} unaccounted for" if balance.unaccounted else "balances"
    list_dead, list_parked = (
        Hint.of("To see them, ", Step(action), ".") for action in (Action.LIST_DEAD_LETTERS, Action.LIST_PARKED)
    )
    report = Hint.of("Redis lost data, or this is a bug: please report it.")
    return [
        finding_of("dead letters", not dead, f"{dead:,}", list_dead, otherwise=Level.NOTE),
        finding_of("parked", not parked, waiting, list_parked, otherwise=Level.NOTE),
        finding_of("events lost", not balance.lost, f"{balance.lost:,} removed from the stream unread", LOST_FIX),
        finding_of("ledger", not balance.unaccounted, missing, report),
    ]


async def check_rabbitmq(app: AppContext) -> Sequence[Finding]:
    """Check that InfraKitchen's RabbitMQ can be read, and that the bridge reads it in time."""
    if find_spec("aio_pika") is None:
        fix = Hint.of("Install it: ", Code("pip install 'infrakitchen-slack[bridge]'"), ".")
        return [Finding("RabbitMQ", Level.FAILED, "the bridge needs aio-pika", fix)]
    from worker.bridge.rabbitmq import ERRORS, find_failure, inspect_queue

    settings = app.settings
    try:
        async with asyncio.timeout(CHECK_S):
            waiting, consumers = await inspect_queue(settings.rabbitmq)
    except ERRORS as error:
        failure = find_failure(error)
        return [Finding("RabbitMQ", Level.FAILED, failure.reason, Hint.of(failure.fix))]
    store = BridgeStore(app.redis, stream=settings.events_stream, retention_s=settings.retention_s)
    last_ms = await store.last_message_ms()
    last = f"the last message came at {format_time(last_ms)}" if last_ms else "no message has come yet"
    running, unread = f"{pluralize(consumers, 'bridge')} connected", f"{pluralize(waiting, 'message')} waiting"
    return [
        Finding("RabbitMQ", Level.OK, f"answers; {last}"),
        finding_of("bridge", bool(consumers), running if consumers else "none is connected", START),
        finding_of("bridge queue", waiting <= MAX_UNREAD, unread, START, otherwise=Level.NOTE),
    ]


def _version(info: Mapping[str, str]) -> Finding:
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = info.get("redis_version", "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not numbers:
        return Finding("Redis", Level.NOTE, "answers, but INFO does not show its version")
    detail = f"{name} {info.get('valkey_version', version)}"
    if info.get("cluster_enabled") == "1":
        return Finding("Redis", Level.FAILED, RedisFailure.CLUSTER.reason, Hint.of(RedisFailure.CLUSTER.fix))
    if info.get("role") == "slave":
        return Finding("Redis", Level.FAILED, f"{detail} is a replica", Hint.of("Set REDIS_URL to its master."))
    return finding_of("Redis", numbers >= OLDEST_REDIS, detail, Hint.of("Use Redis or Valkey 6.2 or newer."))


def _persistence(info: Mapping[str, str]) -> Finding:
    if "aof_enabled" not in info:
        return Finding("persistence", Level.NOTE, "unknown; the append-only file must be on")
    if info.get("aof_last_write_status", "ok") != "ok":
        fix = Hint.of("Free space on its disk, and read its log.")
        return Finding("persistence", Level.FAILED, "Redis cannot write its append-only file", fix)
    is_on = info["aof_enabled"] == "1"
    fix = Hint.of("Set ", Code("appendonly yes"), ": without it, a restart of Redis loses events.")
    return finding_of("persistence", is_on, f"append-only file {'on' if is_on else 'off'}", fix)


def _memory(info: Mapping[str, str]) -> list[Finding]:
    """Check that Redis deletes nothing when its memory is full, and report how much of maxmemory is used, if set."""
    fix = Hint.of(
        "Set ", Code("maxmemory-policy noeviction"), ": any other policy deletes deliveries when memory is short."
    )
    policy = info.get("maxmemory_policy")
    if policy is None:
        findings = [Finding("eviction", Level.NOTE, "unknown; maxmemory-policy must be noeviction")]
    else:
        findings = [finding_of("eviction", policy == "noeviction", policy, fix)]
    used, limit = (int(info.get(name, 0)) for name in ("used_memory", "maxmemory"))
    if limit:
        detail = f"{used / limit:.0%} of maxmemory ({limit / 2**20:,.0f} MiB) in use"
        fix = Hint.of("Raise maxmemory: when it is full, Redis refuses new events.")
        level = Level.FAILED if used >= limit else Level.NOTE
        findings.append(finding_of("memory", used < NEARLY_FULL * limit, detail, fix, otherwise=level))
    return findings


async def _check_writing(app: AppContext) -> list[Finding]:
    """Report why Redis takes no writes, or the stream no events; nothing when they do."""
    try:
        await app.processes.lock("doctor", app.worker_id, 1_000)
        await app.stream.require_writable()
    except StoreUnavailable as error:
        if error.failure is RedisFailure.NO_ANSWER:
            raise
        name = "stream" if error.failure is RedisFailure.EXHAUSTED else "writing"
        return [Finding(name, Level.FAILED, f"{error.failure.reason} ({error})", Hint.of(error.failure.fix))]
    return []


async def _installation(app: AppContext) -> list[Finding]:
    """Report since when Redis has the installation's data, whether it lost any, and whether another one uses it."""
    try:
        data = await app.installation.check()
    except UserError as error:
        return [Finding("data", Level.FAILED, "a newer version wrote it", Hint.of(str(error)))]
    except StoreUnavailable:
        return []  # the check of writing reports it
    lost_s = (await app.redis.now_ms() - data.lost_ms) / 1000
    finding = Finding("data", Level.OK, f"kept since {format_time(data.began_ms)}")
    if data.lost_ms and lost_s < app.settings.retention_s:
        finding = Finding("data", Level.NOTE, f"{LOST} at {format_time(data.lost_ms)}", Hint.of(FIX))
    if await app.processes.has_other_installation():
        detail = f"a process with another ENCRYPTION_KEY uses KEY_PREFIX {app.settings.key_prefix} too"
        return [finding, Finding("installation", Level.FAILED, detail, TWO_INSTALLATIONS)]
    return [finding]


def check_secrets(settings: Settings) -> list[Finding]:
    """Check that the secrets are long, that other users cannot read `.env`, and that no token is sent in the clear."""
    findings = []
    lengths = (("API_TOKEN", settings.api_token, MIN_SECRET), ("ADMIN_PASSWORD", settings.admin_password, MIN_PASSWORD))
    for name, secret, shortest in lengths:
        if secret is not None and len(secret.get_secret_value()) < shortest:
            fix = Hint.of("Set a random one, such as the output of ", Code("openssl rand -hex 24"), ".")
            findings.append(Finding(name, Level.NOTE, f"shorter than {shortest} characters, so it can be guessed", fix))
    with suppress(OSError):
        if Path(".env").stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
            fix = Hint.of("To change that, run ", Code("chmod 600 .env"), ".")
            findings.append(Finding(".env", Level.NOTE, "other users of this machine can read it", fix))
    addresses = {"SLACK_API_URL": settings.slack_api_url, "INFRAKITCHEN_URL": settings.infrakitchen_url or ""}
    for name, address in addresses.items():
        parts = urlsplit(address)
        if parts.scheme == "http" and parts.hostname and not is_loopback(parts.hostname):
            detail = f"http:// to {parts.hostname}: others on the way can read and change what is sent"
            findings.append(Finding(name, Level.NOTE, detail, Hint.of("Use https:// if that server offers it.")))
    for name, url in (("REDIS_URL", settings.redis_url), ("BROKER_URL", settings.broker_url)):
        if url and UNCHECKED.search(url.get_secret_value()):
            detail = "ssl_cert_reqs=none: any server can pretend to be this Redis and read what is sent"
            fix = Hint.of("Remove it, and give the server's CA with ", Code("ssl_ca_certs=FILE"), ".")
            findings.append(Finding(name, Level.NOTE, detail, fix))
    return findings or [Finding("secrets", Level.OK, "long, and sent encrypted")]


async def check_slack(app: AppContext) -> Sequence[Finding]:
    """Check that Slack answers, with a token that cannot be valid."""
    try:
        await app.gateway.identify(Secret("xoxb-"))
    except Blocked:
        pass
    except SlackError as error:
        return [Finding("Slack", Level.FAILED, error.reason, fix_for(error))]
    return [Finding("Slack", Level.OK, f"answers at {app.settings.slack_api_url}")]


async def check_integrations(app: AppContext) -> Sequence[Finding]:
    """Check every integration; there must be at least one."""
    integrations = await app.integrations.list_all()
    if not integrations:
        return [Finding("integrations", Level.FAILED, "there is no integration", ADD_INTEGRATION)]
    groups = await asyncio.gather(*(_check_integration(app, integration) for integration in integrations))
    return [*(finding for group in groups for finding in group), *await _check_token_setting(app, integrations)]


async def _check_token_setting(app: AppContext, integrations: Sequence[Integration]) -> list[Finding]:
    """Report a SLACK_BOT_TOKEN of a workspace that no integration has: the data is that of another installation."""
    setting = app.settings.slack_bot_token
    connections = (await app.integrations.get_connections()).values()
    if setting is None or any(item.token and item.token.reveal() == setting.get_secret_value() for item in connections):
        return []
    try:
        async with asyncio.timeout(TOKEN_S):
            identity = await app.gateway.identify(Secret(setting.get_secret_value()))
    except (TimeoutError, SlackError) as error:
        detail = f"it was not stored, and Slack does not accept it ({getattr(error, 'reason', 'no answer')})"
        return [Finding("SLACK_BOT_TOKEN", Level.NOTE, detail, Hint.of("Remove it: the stored tokens are used."))]
    if identity.team_id in {integration.team_id for integration in integrations}:
        return []
    detail = f"it is of workspace {identity.team}, which no integration under KEY_PREFIX {app.settings.key_prefix} has"
    return [Finding("SLACK_BOT_TOKEN", Level.FAILED, detail, TWO_INSTALLATIONS)]


async def _check_integration(app: AppContext, integration: Integration) -> list[Finding]:
    name, is_parked = integration.name, integration.state is Health.PARKED
    if integration.state is Health.DISABLED:
        return [Finding(name, Level.NOTE, "disabled: its deliveries wait", integration.hint)]
    parked = [Finding(name, Level.FAILED, f"parked: {integration.reason}", integration.hint)] if is_parked else []
    connection = (await app.integrations.get_connections()).get(integration.id)
    if connection is None or connection.token is None:
        return parked  # the check of the key ring reports the token
    try:
        async with asyncio.timeout(TOKEN_S):
            checks, identity = await test_token(app.gateway, connection.token, name)
    except TimeoutError:
        detail = f"Slack did not answer within {TOKEN_S:g} s"
        return [*parked, Finding(f"{name}: connection", Level.FAILED, detail, CHECK_NETWORK)]
    findings = [finding_of(f"{name}: {check.name}", check.passed, check.detail, check.fix) for check in checks]
    code = await app.integrations.get_parked_code(integration.id)
    if not any(check.code == code for check in checks if not check.passed):  # else the failed check says it already
        findings = [*parked, *findings]
    if identity is None:
        return findings
    active = [sub for sub in await app.subscriptions.list_all() if not sub.paused]
    for destination, address in (await check_destinations(app, integration, active, DESTINATION_S)).items():
        check = f"{name}: {destination}"
        if isinstance(address, Address):
            findings.append(Finding(check, Level.OK, f"can be posted to ({address.id})"))
        else:
            level = Level.NOTE if address.must_wait else Level.FAILED
            findings.append(Finding(check, level, address.reason, address.fix))
    return findings
