"""The demo's storm: a zone loses its network, and everything that ran there says so; most of it recovers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

BEGINS_S, FIRES_S, RESOLVES_AT_S, RESOLVES_S = 4.2, 4.0, 9.0, 3.0
WAVES = 8
FIRING_SHARE = 0.6
"""How many of the storm's events are alerts that fire; the rest resolve most of them."""

SERVICES = (
    ("checkout-api", "shop"), ("payments-api", "payments"), ("cart", "shop"), ("search-frontend", "search"),
    ("catalog", "shop"), ("payments-worker", "payments"), ("orders", "shop"), ("recommendations", "search"),
)  # fmt: skip
COMPLAINTS = (
    ("PodNotReady", "warning", "{pod} has not been ready for 5 minutes"),
    ("HighErrorRate", "error", "{service} answers {share} % of requests with 5xx"),
    ("HighLatency", "warning", "{service} takes {seconds:.1f} s at the 99th percentile"),
    ("PodCrashLooping", "error", "{pod} restarted {restarts} times in 10 minutes"),
    ("QueueGrowing", "warning", "{service} has {waiting:,} messages waiting"),
)

CloudEvent = Callable[..., dict[str, Any]]
Clock = Callable[[float], str]
Wave = tuple[float, str, tuple[dict[str, Any], ...]]
"""When (seconds into the story), in words, and the events."""


@dataclass(frozen=True, slots=True)
class _Storm:
    cloud_event: CloudEvent
    time: Clock

    def alert(self, number: int, at_s: float, *, over: bool = False) -> dict[str, Any]:
        """The alert of this number, as it fires or as it resolves; the first is the critical one."""
        name, severity, summary, labels = _outage() if number == 0 else _complaint(number)
        project = labels.pop("project")
        word = "resolved" if over else "firing"
        began_s = BEGINS_S + number % 7 / 10 - 300
        event = self.cloud_event(
            f"alert.{word}", f"alert-{number}-{word}", at_s, name=name, severity=severity, summary=summary,
            labels=labels, project=project, starts_at=self.time(began_s),
            **({"ends_at": self.time(at_s)} if over else {}),
        )  # fmt: skip
        event["data"]["fingerprint"] = event["id"].replace(f"-{word}", "")
        return event


def storm(cloud_event: CloudEvent, time: Clock, count: int) -> Iterator[Wave]:
    """So many events in waves: the alerts fire within a few seconds, then most of them resolve."""
    written = _Storm(cloud_event, time)
    firing = max(round(count * FIRING_SHARE), min(count, 1))
    says = f"a zone loses its network: {firing:,} alerts fire, one of them critical"
    for wave in range(WAVES):
        at_s = BEGINS_S + FIRES_S * wave / WAVES
        some = tuple(written.alert(number, at_s) for number in range(wave, firing, WAVES))
        yield at_s, says if wave == 0 else "", some
    says = f"the network is back: {count - firing:,} of them resolve"
    for wave in range(WAVES):
        at_s = RESOLVES_AT_S + RESOLVES_S * wave / WAVES
        some = tuple(written.alert(n, at_s, over=True) for n in range(wave, count - firing, WAVES))
        yield at_s, says if wave == 0 else "", some


def _outage() -> tuple[str, str, str, dict[str, str]]:
    labels = {"service": "checkout-api", "zone": "eu-west-1b", "project": "shop"}
    return "CheckoutUnavailable", "critical", "no checkout has succeeded for 3 minutes", labels


def _complaint(number: int) -> tuple[str, str, str, dict[str, str]]:
    """Which service says what; numbers near each other differ, so that a short storm is varied too."""
    service, project = SERVICES[number % len(SERVICES)]
    name, severity, summary = COMPLAINTS[number % len(COMPLAINTS)]
    pod = f"{service}-{number * 40_503 % 65_536:04x}"
    text = summary.format(
        pod=pod, service=service, share=8 + number * 7 % 60, seconds=2 + number * 13 % 90 / 10,
        restarts=4 + number % 9, waiting=1_200 + number * 911 % 40_000,
    )  # fmt: skip
    return name, severity, text, {"service": service, "pod": pod, "zone": "eu-west-1b", "project": project}
