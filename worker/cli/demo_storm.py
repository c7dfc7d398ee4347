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
    ("PodNotReady", "warning", "{pod} has not been ready for 5 minutes", "{pod} is ready"),
    ("HighErrorRate", "error", "{service} answers {share} % of requests with 5xx", "{service}: below 1 %"),
    ("HighLatency", "warning", "{service} takes {seconds:.1f} s at the 99th percentile", "{service}: 180 ms"),
    ("PodCrashLooping", "error", "{pod} restarted {restarts} times in 10 minutes", "{pod} runs"),
    ("QueueGrowing", "warning", "{service} has {waiting:,} messages waiting", "{service} has caught up"),
)

CloudEvent = Callable[..., dict[str, Any]]
Clock = Callable[[float], str]
Wave = tuple[float, str, tuple[dict[str, Any], ...]]
"""When (seconds into the story), in words, and the events."""
Complaint = tuple[str, str, dict[str, str], str, str]
"""An alert's name, its severity, its labels, and what it says when it fires and when it resolves."""


@dataclass(frozen=True, slots=True)
class _Storm:
    cloud_event: CloudEvent
    time: Clock

    def alert(self, number: int, at_s: float, *, over: bool = False) -> dict[str, Any]:
        """The alert of this number, as it fires or as it resolves; the first is the critical one."""
        name, severity, labels, *said = _outage() if number == 0 else _complaint(number)
        project = labels.pop("project")
        word = "resolved" if over else "firing"
        began_s = BEGINS_S + number % 7 / 10 - 300
        event = self.cloud_event(
            f"alert.{word}", f"alert-{number}-{word}", at_s, name=name, severity=severity, summary=said[over],
            labels=labels, project=project, starts_at=self.time(began_s),
            generator_url=f"https://metrics.acme.example/alerts/{name}?service={labels['service']}",
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


def _outage() -> Complaint:
    labels = {"service": "checkout-api", "zone": "eu-west-1b", "project": "shop"}
    said = ("no checkout has succeeded for 3 minutes", "checkouts succeed again")
    return "CheckoutUnavailable", "critical", labels, *said


def _complaint(number: int) -> Complaint:
    """Which service says what; numbers near each other differ, so that a short storm is varied too."""
    service, project = SERVICES[number % len(SERVICES)]
    name, severity, *said = COMPLAINTS[number % len(COMPLAINTS)]
    pod = f"{service}-{number * 40_503 % 65_536:04x}"
    amounts = {
        "share": 8 + number * 7 % 60,
        "seconds": 2 + number * 13 % 90 / 10,
        "restarts": 4 + number % 9,
        "waiting": 1_200 + number * 911 % 40_000,
    }
    firing, resolved = (text.format(pod=pod, service=service, **amounts) for text in said)
    labels = {"service": service, "pod": pod, "zone": "eu-west-1b", "project": project}
    return name, severity, labels, firing, resolved
