"""The demo's scenario: a sample workspace, and events as a platform team sees them on a busy day."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from worker.sandbox.slack.server import SlackSandbox
    from worker.sandbox.slack.workspace import Workspace

SANDBOX_PORT = 8899
MEMBER_CHANNELS = ("deployments", "platform", "alerts", "team-payments")
NOT_INVITED = "not-invited-yet"

_SCENARIO: dict[str, Any] = yaml.safe_load(files("worker.demo").joinpath("scenario.yaml").read_text("utf-8"))
MALFORMED: bytes = _SCENARIO["unreadable_entry"].encode()
STORY_LENGTH = 3 + sum(len(entity["states"]) for entity in _SCENARIO["workflows"] + _SCENARIO["resources"])
"""Number of the story's samples without the storm of alerts."""

STORM_BEGINS_S, FIRING_S, RESOLVING_BEGINS_S, RESOLVING_S = 4.2, 4.0, 9.0, 3.0
WAVES = 8
FIRING_SHARE = 0.6
"""Share of the storm's events that are firing alerts; the others resolve most of these alerts."""

Sample = Mapping[str, Any] | bytes
"""An event, or the bytes of an entry that cannot be read."""


def add_sample_workspace(sandbox: "SlackSandbox") -> "Workspace":
    """Add the workspace Acme, with channels of every kind and one user, to a Slack sandbox."""
    workspace = sandbox.add_workspace("Acme")
    for name in MEMBER_CHANNELS:
        workspace.add_channel(name)
    workspace.add_channel(NOT_INVITED, member=False)
    workspace.add_channel("incident-room", private=True)
    workspace.add_user("user@example.com")
    return workspace


@dataclass(frozen=True, slots=True)
class Scene:
    """Samples that are published together, with the sentence that the player prints."""

    at_s: float  #: Seconds after the beginning of the story.
    sentence: str
    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class EventFactory:
    """Maker of the events of one run of the demo."""

    run: str  #: A suffix of every id, so that no two runs publish the same event.
    now_s: float  #: Unix time at which the story begins.

    def cloud_event(self, type_: str, id_: str, at_s: float, **data: Any) -> dict[str, Any]:
        """Return a CloudEvent of something that happens `at_s` seconds into the story."""
        return {
            "specversion": "1.0",
            "id": f"{id_}-{self.run}",
            "source": "/infrakitchen/production",
            "type": f"io.infrakitchen.{type_}",
            "time": self.time(at_s),
            "data": data,
        }

    def time(self, at_s: float) -> str:
        """Return a time of the story; a negative one is before its beginning."""
        return datetime.fromtimestamp(self.now_s + at_s, UTC).isoformat(timespec="milliseconds")

    def workflow(
        self, name: str, steps: Sequence[str], done: int, at_s: float, *, error: str = "", **data: Any
    ) -> dict[str, Any]:
        """Return an event of a workflow run with `done` completed steps; with an `error` the next step failed."""
        status = "error" if error else "done" if done == len(steps) else "in_progress"
        word = {"error": "failed", "done": "completed"}.get(status, "step_completed" if done else "started")
        statuses = ["done"] * done + [status] + ["pending"] * len(steps)
        subject = name.rsplit(maxsplit=1)[-1]
        return self.cloud_event(
            f"workflow.{word}", f"{subject}-{word.replace('_', '-')}-{done}", at_s,
            workflow_id=f"{subject}-{self.run}", name=name, action="create", status=status, error_message=error or None,
            steps=[{"name": step, "position": n + 1, "status": statuses[n]} for n, step in enumerate(steps)],
            **({"completed_at": self.time(at_s)} if status != "in_progress" else {}), **data,
        )  # fmt: skip

    def alert(self, id_: str, at_s: float, *, is_over: bool = False, **data: Any) -> dict[str, Any]:
        """Return an event of an alert that fires, or that resolves when it `is_over`."""
        status = "resolved" if is_over else "firing"
        ends = {"ends_at": self.time(at_s)} if is_over else {}
        return self.cloud_event(
            f"alert.{status}", f"{id_}-{status}", at_s, fingerprint=f"{id_}-{self.run}", **ends, **data
        )


def story(factory: EventFactory, count: int) -> list[Scene]:
    """Return the story's scenes in their order, with `count` samples in all: more make the storm longer."""
    scenes = [*_workflow_scenes(factory), *_resource_scenes(factory), *_odd_scenes(factory)]
    scenes += _storm(factory, max(count - STORY_LENGTH, 0))
    scenes.sort(key=lambda scene: scene.at_s)
    kept = []
    for scene in scenes:
        if count > 0:
            kept.append(Scene(scene.at_s, scene.sentence, scene.samples[:count]))
        count -= len(scene.samples)
    return kept


def _workflow_scenes(factory: EventFactory) -> Iterator[Scene]:
    for workflow in _SCENARIO["workflows"]:
        data = workflow["data"] | {"started_at": factory.time(-workflow["age_s"])}
        for state in workflow["states"]:
            at_s, error = state["at_s"], state.get("error", "")
            event = factory.workflow(workflow["name"], workflow["steps"], state["done"], at_s, error=error, **data)
            yield Scene(at_s, state.get("sentence", ""), (event,))


def _resource_scenes(factory: EventFactory) -> Iterator[Scene]:
    for resource in _SCENARIO["resources"]:
        data = resource["data"] | {"resource_id": f"{resource['data']['name']}-{factory.run}"}
        for state in resource["states"]:
            data |= {name: state[name] for name in ("state", "status", "message") if name in state}
            id_ = f"{data['name']}-{data['state']}-{data['status']}"
            event = factory.cloud_event("resource.state_changed", id_, state["at_s"], **data)
            yield Scene(state["at_s"], state.get("sentence", ""), (event,))
            data |= {"previous_state": data["state"], "previous_status": data["status"]}


def _odd_scenes(factory: EventFactory) -> Iterator[Scene]:
    """Yield an alert without a subscription, a body in InfraKitchen's own format, and an unreadable entry."""
    alert = _SCENARIO["info_alert"]
    sentence = f"Alert {alert['name']} fires: no subscription matches its severity."
    yield Scene(0.2, sentence, (factory.alert("certificate", 0.2, **alert),))
    body = _SCENARIO["own_format"] | {"entity_id": f"terraform-modules-{factory.run}"}
    yield Scene(1.0, "Source code terraform-modules is synced: an event in InfraKitchen's own format.", (body,))
    yield Scene(3.2, "An entry that is cut off: it becomes a dead letter.", (MALFORMED,))


def _storm(factory: EventFactory, count: int) -> Iterator[Scene]:
    """Yield `count` events in waves: alerts fire within a few seconds, then most of them resolve."""
    firing = max(round(count * FIRING_SHARE), min(count, 1))
    parts = (
        (STORM_BEGINS_S, FIRING_S, firing, f"A zone loses its network: {firing:,} alerts fire, one of them critical."),
        (RESOLVING_BEGINS_S, RESOLVING_S, count - firing, f"The network is back: {count - firing:,} alerts resolve."),
    )
    for begins_s, length_s, number_of_events, sentence in parts:
        for wave in range(min(WAVES, number_of_events)):
            at_s = begins_s + length_s * wave / WAVES
            is_over = begins_s == RESOLVING_BEGINS_S
            alerts = [_storm_alert(factory, n, at_s, is_over=is_over) for n in range(wave, number_of_events, WAVES)]
            yield Scene(at_s, "" if wave else sentence, alerts)


def _storm_alert(factory: EventFactory, number: int, at_s: float, *, is_over: bool) -> dict[str, Any]:
    """Return one alert of the storm; consecutive numbers differ in service and alert, number 0 is critical."""
    services, alerts = _SCENARIO["storm"]["services"], _SCENARIO["storm"]["alerts"]
    service, project = services[number % len(services)]
    name, severity, firing, resolved = alerts[number % len(alerts)]
    labels = {"service": service, "pod": f"{service}-{number * 40_503 % 65_536:04x}", "zone": "eu-west-1b"}
    if number == 0:
        name, severity = "CheckoutUnavailable", "critical"
        firing, resolved = "no checkout has succeeded for 3 minutes", "checkouts succeed again"
        del labels["pod"]
    summary = (resolved if is_over else firing).format(
        **labels, share=8 + number * 7 % 60, seconds=2 + number * 13 % 90 / 10,
        restarts=4 + number % 9, queued=1_200 + number * 911 % 40_000,
    )  # fmt: skip
    return factory.alert(
        f"alert-{number}", at_s, is_over=is_over, name=name, severity=severity, summary=summary, labels=labels,
        project=project, starts_at=factory.time(STORM_BEGINS_S + number % 7 / 10 - 300),
        generator_url=f"https://metrics.example.com/alerts/{name}?service={service}",
    )  # fmt: skip


def endless_scenes(now_s: Callable[[], float]) -> Iterator[Scene]:
    """Yield the story's scenes again and again without its storm, each time as a new run of the same events."""
    while True:
        factory = EventFactory(secrets.token_hex(4), now_s())
        yield from (scene for scene in story(factory, STORY_LENGTH) if MALFORMED not in scene.samples)
