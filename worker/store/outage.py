"""Outage: why Redis does not do what it is asked, in words, and what a person does about it."""

import logging
import re
from dataclasses import dataclass

from worker.store.server import Unavailable
from worker.telemetry import Told, say


@dataclass(frozen=True, slots=True)
class Outage:
    """What is the matter, and the mend. Nothing is lost by it: what waits goes on afterwards."""

    reason: str
    mend: str


AWAY = Outage("Redis does not answer", "Start it, or correct REDIS_URL.")
_SAID = (
    (r"\bOOM\b|used memory > 'maxmemory'", Outage(
        "Redis has no memory left",
        "Raise its maxmemory (`CONFIG SET maxmemory …`, and in redis.conf), and leave maxmemory-policy at "
        "noeviction. Until then it also refuses what InfraKitchen publishes.")),
    (r"\bREADONLY\b|read[- ]only replica", Outage(
        "Redis is a replica, which takes no writes",
        "Set REDIS_URL to the one it follows, or to sentinel://… , which finds it after a failover.")),
    (r"\bLOADING\b|is loading the dataset", Outage(
        "Redis is reading its files", "Wait: it answers when it has read them.")),
    (r"\bBUSY\b|is busy running a script", Outage(
        "Redis is held up by a script of somebody's",
        "Wait, or end that script with `redis-cli SCRIPT KILL`; `redis-cli CLIENT LIST` shows whose it is.")),
    (r"\bMISCONF\b|unable to persist|Errors writing to the AOF", Outage(
        "Redis cannot write to its disk", "Make room on its disk, and see its log.")),
    (r"\bNOREPLICAS\b|[Nn]ot enough good replicas", Outage(
        "Redis wants more replicas before it takes writes",
        "Bring its replicas back, or lower min-replicas-to-write.")),
    (r"\bMASTERDOWN\b|Link with MASTER is down", Outage(
        "Redis is a replica that has lost the one it follows",
        "Bring that one back, or set REDIS_URL to another.")),
    (r"\bNOAUTH\b|\bWRONGPASS\b|uthentication required|already auth|invalid (username-)?pass", Outage(
        "Redis does not take the password", "Correct the login in REDIS_URL.")),
    (r"\bNOPERM\b|has no permissions|can't run this command", Outage(
        "Redis does not allow this to its user",
        "Give the user in REDIS_URL all commands on the keys under KEY_PREFIX and on EVENTS_STREAM.")),
)  # fmt: skip
"""By what the error says; scripts and the client wrap it in words of their own."""


def outage_of(error: Unavailable) -> Outage:
    """What an error of Redis's means."""
    said = str(error)
    return next((outage for words, outage in _SAID if re.search(words, said)), AWAY)


def say_outage(log: logging.Logger, error: Unavailable, **about: Told) -> None:
    """One line: what is the matter, the mend, and what Redis said itself."""
    outage = outage_of(error)
    say(log, logging.ERROR, outage.reason, **about, mend=outage.mend, error=str(error))
