"""Failures of the Redis server: which errors mean that it cannot serve now, why, and the fix. Any other is a bug."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from redis import exceptions as redis_py
from redis.exceptions import RedisError

from worker.domain.errors import DETAIL_MAX
from worker.domain.mrkdwn import cut_middle
from worker.telemetry import LogValue, log_event


def _unknown(*commands: str) -> tuple[str, ...]:
    """Return the texts of Redis when it does not know these commands; the quotes depend on its version."""
    return tuple(f"unknown command {quote}{name}{quote}" for name in commands for quote in "'`")


class RedisFailure(Enum):
    """Why Redis cannot serve. Nothing is lost by it: pending deliveries are sent once it is over.

    After its two texts the value says how a failure is recognized: by the codes of Redis, in lower case by its texts
    where it has no code, or by the classes of redis-py, which keeps no code. The first that fits is an error's failure.
    """

    NO_MEMORY = (
        "Redis has no memory left",
        "Raise maxmemory (`CONFIG SET maxmemory …`, and in redis.conf), and leave maxmemory-policy at noeviction.",
        "OOM", redis_py.OutOfMemoryError,
    )  # fmt: skip
    READ_ONLY = (
        "Redis is a replica, which takes no writes",
        "Set REDIS_URL to its master, or to sentinel://… , which finds the master after a failover.",
        "READONLY", redis_py.ReadOnlyError,
    )  # fmt: skip
    LOADING = (
        "Redis is loading its files",
        "Wait: it answers when it has loaded them.",
        "LOADING", redis_py.BusyLoadingError,
    )  # fmt: skip
    BUSY = (
        "Redis is blocked by a long script of another client",
        "Wait, or end that script with `redis-cli SCRIPT KILL`; `redis-cli CLIENT LIST` shows the client.",
        "BUSY",
    )  # fmt: skip
    DISK = (
        "Redis cannot write to its disk",
        "Free space on its disk, and see its log.",
        "MISCONF",
    )  # fmt: skip
    FEW_REPLICAS = (
        "Redis needs more replicas before it takes writes",
        "Start its replicas again, or lower min-replicas-to-write.",
        "NOREPLICAS",
    )  # fmt: skip
    MASTER_DOWN = (
        "Redis is a replica that has lost its master",
        "Start the master again, or set REDIS_URL to another server.",
        "MASTERDOWN", redis_py.MasterDownError,
    )  # fmt: skip
    CLUSTER = (
        "Redis is part of a cluster, which cannot be used",
        "Set REDIS_URL to a server that is not part of a cluster.",
        "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "CROSSSLOT", "not allowed in cluster mode",
        "don't hash to the same slot", redis_py.ClusterDownError, redis_py.AskError, redis_py.ClusterCrossSlotError,
    )  # fmt: skip
    EXHAUSTED = (
        "The events stream takes no more entries: it has one with the highest possible id",
        "When ingest has read all entries, rename it (`redis-cli RENAME infrakitchen:events old`): a new one begins.",
        "exhausted the last possible id",
    )  # fmt: skip
    DATABASE = (
        "Redis has no database of this number",
        "Correct the number at the end of REDIS_URL: 0 always exists.",
        "db index is out of range", "invalid db index",
    )  # fmt: skip
    COMMAND = (
        "Redis does not know a command that is needed",
        "Use Redis or Valkey 6.2 or newer that offers all commands, Lua scripts (EVALSHA) included.",
        *_unknown("evalsha", "script", "multi", "time", "xadd", "xreadgroup", "xautoclaim", "xinfo", "xgroup", "xack"),
    )  # fmt: skip
    MAX_CLIENTS = (
        "Redis has reached its maximum number of clients",
        "Raise maxclients, or end clients that are not needed: `redis-cli CLIENT LIST` shows them.",
        "max number of clients",
    )  # fmt: skip
    PROTECTED = (
        "Redis is in protected mode and refuses other machines",
        "Set a password and bind address in redis.conf, and the password in REDIS_URL.",
        "DENIED", "protected mode",
    )  # fmt: skip
    TLS = (
        "The TLS connection to Redis cannot be made",
        "Use rediss:// only for a server with TLS, and give an own CA with `?ssl_ca_certs=FILE`.",
        "[ssl", "certificate verify failed",
    )  # fmt: skip
    PERMISSION = (
        "Redis does not allow its user to do this",
        "Give the user in REDIS_URL all commands on the keys under KEY_PREFIX and on EVENTS_STREAM.",
        "NOPERM", redis_py.NoPermissionError, "acl failure in script",
        "the user executing the script can't",  # Redis 7.0
    )  # fmt: skip
    LOGIN = (
        "Redis does not accept the password",
        "Correct the login in REDIS_URL.",
        "NOAUTH", "WRONGPASS", redis_py.AuthenticationError, redis_py.AuthenticationWrongNumberOfArgsError,
    )  # fmt: skip
    NOT_REDIS = (
        "Something that is not Redis answers",
        "Correct host and port in REDIS_URL.",
        redis_py.InvalidResponse, "protocol error",
    )  # fmt: skip
    CLOSED = (
        "Redis closed the connection",
        "If this stays, see its log: it may have too many clients, or want TLS (rediss:// in REDIS_URL).",
        "connection closed by server", "connection reset", "broken pipe", "while writing to socket", "connection lost",
    )  # fmt: skip
    NO_GROUP = (
        "Redis has lost the stream's consumer group",
        "Wait: the group is created again within seconds.",
        "NOGROUP",
    )  # fmt: skip
    UNBLOCKED = (
        "Redis ended a read that waited for events",
        "Wait: the read is repeated within seconds. Redis does this when it becomes a replica.",
        "UNBLOCKED",
    )  # fmt: skip
    NO_ANSWER = (
        "Redis does not answer",
        "Start it, or correct REDIS_URL.",
        redis_py.ConnectionError, redis_py.TimeoutError, OSError,
    )  # fmt: skip

    def __init__(self, reason: str, fix: str, *signs: str | type[Exception]) -> None:
        self.reason = reason  #: What is wrong, as a sentence without its full stop.
        self.fix = fix  #: What to do about it.
        self.signs = signs


# The code of an error, https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors: at its beginning,
# or at that of the error which a script (Redis 6) or redis-py (in a transaction) repeats at the end of its own.
_CODE = re.compile(r"(?:^|: (?:-|\(['\"])?)([A-Z]{3,}) ")


class StoreUnavailable(Exception):
    """Redis cannot serve now; raised in place of redis-py's error. Every step of the store may be repeated later."""

    def __init__(self, failure: RedisFailure = RedisFailure.NO_ANSWER, detail: str = "") -> None:
        super().__init__(cut_middle(detail, DETAIL_MAX) or failure.reason)
        self.failure = failure  #: Why Redis cannot serve, with the fix.


def find_failure(error: BaseException) -> RedisFailure | None:
    """Return why Redis could not serve; None when the error does not come from that, but from a bug."""
    codes = _CODE.findall(str(error)) if isinstance(error, RedisError) else []
    text = str(error).lower() if isinstance(error, RedisError | OSError) else ""

    def fits(sign: str | type[Exception]) -> bool:
        if isinstance(sign, type):
            return isinstance(error, sign)
        return sign in codes[-1:] if sign.isupper() else sign in text

    return next((failure for failure in RedisFailure if any(map(fits, failure.signs))), None)


def to_store_error(error: BaseException) -> BaseException:
    """Return `StoreUnavailable` for an error of a Redis that cannot serve, any other error as it is."""
    failure = find_failure(error)
    return error if failure is None else StoreUnavailable(failure, str(error) or type(error).__name__)


@contextmanager
def store_errors() -> Iterator[None]:
    """Raise `StoreUnavailable` in place of an error of redis-py that means it."""
    try:
        yield
    except Exception as error:
        known = to_store_error(error)
        if known is error:
            raise
        raise known from error


def log_redis_error(log: logging.Logger, error: StoreUnavailable, **details: LogValue) -> None:
    """Log in one line why Redis cannot serve, the fix, and what Redis said itself."""
    log_event(log, logging.ERROR, error.failure.reason, **details, fix=error.failure.fix, error=str(error))
