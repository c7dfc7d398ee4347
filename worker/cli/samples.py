"""Samples: events as InfraKitchen publishes them, for the demo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Sample = Mapping[str, Any] | bytes
"""An event, or the bytes of an entry that nobody can read."""
NEIGHBOURS = (
    ("PodCrashLooping", "error", "pod checkout-api-{n} restarted 6 times in 10 minutes"),
    ("HighLatency", "warning", "p99 of checkout-api-{n} is 2.4 s, above 800 ms"),
    ("QueueBacklog", "warning", "queue orders-{n} holds 18,400 messages, oldest 4 min"),
    ("DatabaseConnections", "error", "checkout-db-{n}: 198 of 200 connections in use"),
)


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the events of one telling: `run` is in their ids, the story begins at `begins_at_s` (Unix).

    `pace` is how long a second of the story lasts.
    """

    run: str
    begins_at_s: float
    pace: float = 1.0

    def time(self, at_s: float) -> str:
        """A moment of the story."""
        at = datetime.fromtimestamp(self.begins_at_s + at_s * self.pace, UTC)
        return at.isoformat(timespec="milliseconds")

    def event(self, what: str, id_: str, at_s: float, **data: Any) -> dict[str, Any]:
        """A CloudEvent of something that happens `at_s` seconds into the story."""
        return {
            "specversion": "1.0", "id": f"{id_}-{self.run}", "source": "/infrakitchen/production",
            "type": f"io.infrakitchen.{what}", "time": self.time(at_s), "data": data,
        }  # fmt: skip

    def workflow(
        self, name: str, steps: Sequence[str], done: int, at_s: float, error: str = "", **data: Any
    ) -> dict[str, Any]:
        """A run of a workflow of which so many steps are done; an error stops it at the next one."""
        status = "error" if error else "done" if done == len(steps) else "in_progress"
        what = {"error": "failed", "done": "completed"}.get(status, "step_completed" if done else "started")
        states = ["done"] * done + [status] + ["pending"] * len(steps)
        told = [{"name": steps[n], "position": n + 1, "status": states[n]} for n in range(len(steps))]
        run = f"{name.rpartition(' ')[2]}-{self.run}"
        if status != "in_progress":
            data["completed_at"] = self.time(at_s)
        return self.event(
            f"workflow.{what}", f"{run}-{what}-{done}", at_s, workflow_id=run, name=name, action="create",
            status=status, steps=told, error_message=error, **data,
        )  # fmt: skip

    def resource(self, name: str, state: str, status: str, at_s: float, **data: Any) -> dict[str, Any]:
        """A resource that changed its state."""
        return self.event(
            "resource.state_changed", f"{name}-{state}-{status}", at_s,
            resource_id=f"{name}-{self.run}", name=name, state=state, status=status, **data,
        )  # fmt: skip

    def alert(self, number: int, what: str, at_s: float) -> dict[str, Any]:
        """An alert of the storm; the first is the critical one, the others are what it brings along."""
        name, severity, summary = NEIGHBOURS[number % len(NEIGHBOURS)]
        service, description = f"checkout-{number}", ""
        if number == 0:
            name, severity, service = "CheckoutErrorRate", "critical", "checkout-api"
            summary = "34 % of checkouts fail"
            description = "The checkout answers 503 since the last deployment: customers cannot pay."
        ended = {"ends_at": self.time(at_s)} if what == "resolved" else {}
        return self.event(
            f"alert.{what}", f"alert-{number}-{what}", at_s, name=name, severity=severity,
            fingerprint=f"{number:04x}-{self.run}", summary=summary.format(n=number), description=description,
            labels={"service": service, "env": "production"}, starts_at=self.time(-290), project="payments",
            generator_url=f"https://grafana.example.com/alerting/{name}?n={number}", **ended,
        )  # fmt: skip
