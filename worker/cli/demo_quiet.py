"""After the demo's story: a quiet afternoon, a scene every few seconds, without end."""

import secrets
from collections.abc import Callable, Iterator
from itertools import cycle

from worker.cli.demo_story import AISHA, JONAS, MIRA, Sample, Scene, Writer

STEPS = ("plan", "build image", "terraform apply")
DEPLOYED = (("cart", "shop", MIRA), ("payments-api", "payments", AISHA), ("catalog", "shop", JONAS))


def afternoon(now_s: Callable[[], float]) -> Iterator[Scene]:
    """Deployments that complete, previews that come and go, now and then an alert."""
    for name, project, person in cycle(DEPLOYED):
        run, began_s = secrets.token_hex(4), now_s()
        about = {"creator": person, "project": project}
        for done in range(len(STEPS) + 1):
            writer = Writer(run, now_s())
            started_at = writer.time(began_s - writer.now_s)
            step = writer.workflow(f"deploy {name}", STEPS, done, 0.0, started_at=started_at, **about)
            yield Scene(0.0, f"{name} is being deployed" if done == 0 else "", (step,))
        preview, template = (
            f"preview-{run}",
            {"template": "k8s-namespace", "requester": person, "project": project},
        )
        made = Writer(run, now_s()).resource(preview, "provisioned", "done", 0.0, **template)
        yield Scene(0.0, f"{preview} is there", (made,))
        for word in ("firing", "resolved"):
            yield Scene(
                0.0, f"an alert of {name}: {word}", (_alert(Writer(run, now_s()), name, project, word),)
            )
        gone = Writer(run, now_s()).resource(preview, "destroyed", "done", 0.0, **template)
        yield Scene(0.0, f"{preview} is gone", (gone,))


def _alert(writer: Writer, name: str, project: str, word: str) -> Sample:
    return writer.cloud_event(
        f"alert.{word}", f"latency-{word}", 0.0, name="HighLatency", severity="warning", project=project,
        fingerprint=f"latency-{writer.run}", summary=f"{name} takes 1.4 s at the 99th percentile",
        labels={"service": name}, starts_at=writer.time(-120),
        **({"ends_at": writer.time(0)} if word == "resolved" else {}),
    )  # fmt: skip
