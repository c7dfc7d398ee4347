"""Failures of the Redis server: which errors mean that it cannot serve now, why, and the fix. Any other is a bug."""

import logging
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from importlib.resources import files

from redis import exceptions as redis_py
from redis.exceptions import RedisError

from worker.domain.errors import DETAIL_MAX
from worker.domain.mrkdwn import cut_middle
from worker.telemetry import LogValue, log_event


def _unknown(*commands: str) -> tuple[str, ...]:
    """Return the texts of Redis when it does not know these commands; the quotes depend on its version."""
    return tuple(f"unknown command {quote}{name}{quote}" for name in commands for quote in "'`")


_TEXTS = tomllib.loads(files(__package__).joinpath("redis_failures.toml").read_text("utf-8"))


class RedisFailure(Enum):
    """Why Redis cannot serve. Nothing is lost by it: pending deliveries are sent once it is over.

    The value says how a failure is recognized: by the codes of Redis, in lower case by its texts where it has no code,
    or by the classes of redis-py, which keeps no code. The first that fits an error is its failure.
    """

    NO_MEMORY = "OOM", redis_py.OutOfMemoryError
    READ_ONLY = "READONLY", redis_py.ReadOnlyError
    LOADING = "LOADING", redis_py.BusyLoadingError
    BUSY = ("BUSY",)
    DISK = ("MISCONF",)
    FEW_REPLICAS = ("NOREPLICAS",)
    MASTER_DOWN = "MASTERDOWN", redis_py.MasterDownError
    CLUSTER = (
        "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "CROSSSLOT", "not allowed in cluster mode",
        "don't hash to the same slot", redis_py.ClusterDownError, redis_py.AskError, redis_py.ClusterCrossSlotError,
    )  # fmt: skip
    EXHAUSTED = ("exhausted the last possible id",)
    DATABASE = "db index is out of range", "invalid db index"
    COMMAND = _unknown(
        "evalsha", "script", "multi", "time", "xadd", "xreadgroup", "xautoclaim", "xinfo", "xgroup", "xack"
    )
    MAX_CLIENTS = ("max number of clients",)
    PROTECTED = "DENIED", "protected mode"
    TLS = "[ssl", "certificate verify failed"
    PERMISSION = (
        "NOPERM", redis_py.NoPermissionError, "acl failure in script",
        "the user executing the script can't",  # Redis 7.0
    )  # fmt: skip
    LOGIN = (
        "NOAUTH", "WRONGPASS", redis_py.AuthenticationError, redis_py.AuthenticationWrongNumberOfArgsError,
    )  # fmt: skip
    NOT_REDIS = redis_py.InvalidResponse, "protocol error"
    CLOSED = (
        "connection closed by server", "connection reset", "broken pipe", "while writing to socket", "connection lost",
    )  # fmt: skip
    NO_GROUP = ("NOGROUP",)
    UNBLOCKED = ("UNBLOCKED",)
    NO_ANSWER = redis_py.ConnectionError, redis_py.TimeoutError, OSError

    def __init__(self, *signs: str | type[Exception]) -> None:
        self.reason: str = _TEXTS[self.name]["reason"]  #: What is wrong, as a sentence without its full stop.
        self.fix: str = _TEXTS[self.name]["fix"]  #: What to do about it.
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
