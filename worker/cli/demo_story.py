"""The demo's story: what a platform team sees on a busy day, as events that tell it in their order."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from worker.cli.demo_storm import storm

Sample = Mapping[str, Any] | bytes
"""An event, or the bytes of an entry that nobody can read."""
STORY_LENGTH = 26
"""How many samples the story has without its storm of alerts."""

DEPLOY_STEPS = ("plan", "build image", "push image", "migrate database", "terraform apply", "smoke test")
SEARCH_STEPS = ("plan", "network", "storage", "cluster", "register endpoint")
NO_QUOTA = """\
Error: creating RDS DB Instance (checkout-db-replica): operation error RDS: CreateDBInstance,
https response error StatusCode: 400, RequestID: 6f1c9d0e-2b7a-4d57-9a1e-3f0c8f6f2d11,
InstanceQuotaExceeded: DB instance quota exceeded (40 of 40 in eu-west-1)

  with module.database.aws_db_instance.replica[0],
  on modules/database/replica.tf line 14, in resource "aws_db_instance" "replica":
  14: resource "aws_db_instance" "replica" {"""
MALFORMED = b'{"specversion": "1.0", "id": "checkout-4711", "type": "io.infrakitchen.workflow.fail'
MIRA, JONAS, AISHA = (
    {"name": name, "email": f"{name.split()[0].lower()}@acme.example"}
    for name in ("Mira Chen", "Jonas Weber", "Aisha Okoye")
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What happens at `at_s` seconds, in words and as samples."""

    at_s: float
    says: str
    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes events of one run of the demo: their ids are its own, times are from `now_s` (Unix) on."""

    run: str
    now_s: float

    def cloud_event(self, type_: str, id_: str, at_s: float, **data: Any) -> dict[str, Any]:
        """A CloudEvent of something that happens `at_s` seconds into the story."""
        return {
            "specversion": "1.0",
            "id": f"{id_}-{self.run}",
            "source": "/infrakitchen/production",
            "type": f"io.infrakitchen.{type_}",
            "time": self.time(at_s),
            "data": data,
        }

    def time(self, at_s: float) -> str:
        """A moment of the story; negative is before it began."""
        return datetime.fromtimestamp(self.now_s + at_s, UTC).isoformat(timespec="milliseconds")

    def workflow(
        self, name: str, steps: Sequence[str], done: int, at_s: float, **data: Any
    ) -> dict[str, Any]:
        """A workflow run of which so many steps are done; with an `error` it stops at the next one."""
        error = data.pop("error", "")
        status = "error" if error else "done" if done == len(steps) else "in_progress"
        word = {"error": "failed", "done": "completed"}.get(status, "step_completed" if done else "started")
        states = ["done"] * done + [status] + ["pending"] * len(steps)
        told = [
            {"name": step, "position": place + 1, "status": states[place]} for place, step in enumerate(steps)
        ]
        ended = {"completed_at": self.time(at_s)} if status != "in_progress" else {}
        subject = name.rsplit(maxsplit=1)[-1]
        return self.cloud_event(
            f"workflow.{word}", f"{subject}-{word.replace('_', '-')}-{done}", at_s,
            workflow_id=f"{subject}-{self.run}", name=name, action="create", status=status, steps=told,
            error_message=error or None, **ended, **data,
        )  # fmt: skip

    def resource(self, name: str, state: str, status: str, at_s: float, **data: Any) -> dict[str, Any]:
        """A resource that changed its state."""
        return self.cloud_event(
            "resource.state_changed", f"{name}-{state}-{status}", at_s,
            resource_id=f"{name}-{self.run}", name=name, state=state, status=status, **data,
        )  # fmt: skip


def story(writer: Writer, count: int) -> list[Scene]:
    """The scenes of the story in their order, with so many samples in all: more make a longer storm."""
    scenes = [*_deployment(writer), *_search(writer), *_platform(writer), *_oddities(writer)]
    waves = storm(writer.cloud_event, writer.time, max(count - STORY_LENGTH, 0))
    scenes += [Scene(at_s, says, some) for at_s, says, some in waves if some]
    scenes.sort(key=lambda scene: scene.at_s)
    return list(_first(scenes, count))


def _deployment(writer: Writer) -> Iterator[Scene]:
    """The workflow that fails at its fifth step, and the resource it could not make."""
    about = {"creator": MIRA, "project": "shop", "started_at": writer.time(-251)}
    database = {"template": "aws-rds-postgres", "requester": MIRA, "project": "shop"}

    def run(done: int, at_s: float, **more: Any) -> dict[str, Any]:
        return writer.workflow("deploy checkout-api", DEPLOY_STEPS, done, at_s, **about, **more)

    replica = "checkout-db-replica"
    yield Scene(0.0, "checkout-api is being deployed, six steps", (run(0, 0.0),))
    for done in (1, 2, 3):
        yield Scene(done * 1.0, "", (run(done, done * 1.0),))
    queued = writer.resource(replica, "provision", "queued", 3.5, **database)
    yield Scene(4.0, "its database is migrated, terraform begins", (run(4, 4.0), queued))
    begun = writer.resource(replica, "provision", "in_progress", 4.5, previous_status="queued", **database)
    yield Scene(4.5, "", (begun,))
    refused = writer.resource(
        replica, "provision", "error", 5.5,
        previous_status="in_progress", message="InstanceQuotaExceeded: 40 of 40 in eu-west-1", **database,
    )  # fmt: skip
    failed = run(4, 6.0, error=NO_QUOTA)
    yield Scene(6.0, "terraform apply fails: no quota left; the deployment stops there", (refused, failed))


def _search(writer: Writer) -> Iterator[Scene]:
    """The workflow that completes, and the resource it makes."""
    about = {"creator": JONAS, "project": "search", "started_at": writer.time(-803)}
    cluster = {"template": "opensearch", "requester": JONAS, "project": "search"}

    def run(done: int, at_s: float) -> dict[str, Any]:
        return writer.workflow("create search-cluster", SEARCH_STEPS, done, at_s, **about)

    name = "search-cluster"
    queued = writer.resource(name, "provision", "queued", 0.5, **cluster)
    yield Scene(0.5, "a search cluster is created, five steps", (run(0, 0.5), queued))
    begun = writer.resource(name, "provision", "in_progress", 2.5, previous_status="queued", **cluster)
    yield Scene(2.5, "", (run(1, 2.4), begun))
    for done, at_s in ((2, 3.5), (3, 4.5), (4, 7.2)):  # none beside the failure, which stands alone
        yield Scene(at_s, "", (run(done, at_s),))
    ready = writer.resource(
        name, "provisioned", "done", 8.5,
        previous_state="provision", previous_status="in_progress", message="3 nodes, 600 GiB", **cluster,
    )  # fmt: skip
    yield Scene(8.5, "the search cluster is there", (ready, run(5, 8.5)))


def _platform(writer: Writer) -> Iterator[Scene]:
    """Resources of other teams: one asks for approval, one goes away, one is made."""
    bucket = {"template": "s3-bucket", "requester": AISHA, "project": "data"}
    asks = writer.resource(
        "orders-archive", "provision", "approval_pending", 1.5, message="2 TiB, kept for 7 years", **bucket
    )
    yield Scene(1.5, "orders-archive waits for an approval", (asks,))
    old = {"template": "ec2-instance", "requester": JONAS, "project": "data"}
    going = writer.resource("legacy-ftp", "destroy", "in_progress", 3.0, previous_state="provisioned", **old)
    gone = writer.resource("legacy-ftp", "destroyed", "done", 6.5, previous_state="destroy", **old)
    yield Scene(3.0, "", (going,))
    yield Scene(6.5, "legacy-ftp is destroyed", (gone,))
    ledger = {"template": "aws-rds-postgres", "requester": AISHA, "project": "payments"}
    begun = writer.resource("ledger-db", "provision", "in_progress", 2.0, previous_status="queued", **ledger)
    ready = writer.resource("ledger-db", "provisioned", "done", 7.5, previous_state="provision", **ledger)
    yield Scene(2.0, "", (begun,))
    yield Scene(7.5, "ledger-db of project payments is there", (ready,))


def _oddities(writer: Writer) -> Iterator[Scene]:
    """InfraKitchen's own body, an entry nobody can read, and an alert nobody subscribed to."""
    body = {
        "event_type": "sync",
        "entity_type": "source_code",
        "entity_id": f"terraform-modules-{writer.run}",
        "title": "Source code 'terraform-modules' was synced",
        "message": "14 new commits on main, 3 templates have a new version",
        "status": "success",
        "metadata": None,
    }
    yield Scene(1.0, "an event in InfraKitchen's own format", (body,))
    yield Scene(3.2, "an entry that is cut off in its middle: it becomes a dead letter", (MALFORMED,))
    quiet = writer.cloud_event(
        "alert.firing", "certificate", 0.2, name="CertificateExpiresIn30Days", severity="info",
        fingerprint=f"certificate-{writer.run}", summary="*.acme.example expires in 30 days",
    )  # fmt: skip
    yield Scene(0.2, "an alert that is only informative: nobody subscribed to it", (quiet,))


def _first(scenes: Sequence[Scene], count: int) -> Iterator[Scene]:
    for scene in scenes:
        if count <= 0:
            return
        yield Scene(scene.at_s, scene.says, scene.samples[:count])
        count -= len(scene.samples)
