"""10,000 alerts for one channel within ten seconds, at Slack's own pace: how long until all are told.

    python benchmarks/storm.py [--events 10000] [--over-s 10]

Prints the time from the last alert to the message that tells it, how many messages there were, the refusals
of a sandbox that keeps Slack's pace, and the memory of each process at its highest.
"""

import argparse
import asyncio
import tempfile
import threading
import time

import stage
from throughput import event

from worker.bootstrap import Services, services
from worker.domain.integration import Secret
from worker.domain.subscription import Subscription
from worker.pipeline.connect import add_integration
from worker.publish import encode
from worker.sandbox.slack import SlackSandbox
from worker.store.ledger import take_census


async def storm(events: int, over_s: float) -> None:
    """Publish, wait, report."""
    sandbox = SlackSandbox()
    workspace = sandbox.add_workspace("Bench")
    workspace.add_channel("alerts")
    with stage.server() as redis, tempfile.TemporaryDirectory() as folder:
        async with sandbox.serving() as slack:
            pace = {
                "POST_RATE_PER_CHANNEL": "1",
                "POST_BURST_PER_CHANNEL": "1",
                "POST_RATE_PER_WORKSPACE": "300",
            }
            environment = stage.settings(redis, slack, folder, **pace)
            stage.os.environ.update(environment)
            from config.settings import Settings

            async with services(Settings.load()) as made:
                integration = await add_integration(
                    made.integrations, made.gateway, "bench", Secret(workspace.token)
                )
                await made.subscriptions.change(save=[Subscription("s", integration.id, "#alerts")])
                with stage.worker(environment) as worker, stage.ingest(environment) as ingest:
                    await told_of(made, events, over_s, {"worker": worker.pid, "ingest": ingest.pid})
    messages = sandbox.messages("alerts")
    print(f"{len(messages)} messages, {sandbox.violations} violations of the pace")


async def told_of(made: Services, events: int, over_s: float, pids: dict[str, int]) -> None:
    """All events, spread over the time; then until each is told."""
    highest = dict.fromkeys(pids, 0.0)
    watching = threading.Event()

    def watch() -> None:
        while not watching.wait(0.2):
            for name, pid in pids.items():
                highest[name] = max(highest[name], stage.resident_mb(pid))

    threading.Thread(target=watch, daemon=True).start()
    await stage.alive(made)
    started = time.monotonic()
    for start in range(0, events, 100):
        commands = [
            ("XADD", made.settings.events_stream, "*", "event", encode(event(number)))
            for number in range(start, min(start + 100, events))
        ]
        await made.server.each(commands)
        await asyncio.sleep(max(started + over_s * (start + 100) / events - time.monotonic(), 0))
    published = time.monotonic()
    while True:
        balance, _ = await take_census(made.server)
        if balance.delivered + balance.merged >= events:
            break
        if time.monotonic() > published + 300:
            raise TimeoutError(balance)
        await asyncio.sleep(0.1)
    watching.set()
    print(
        f"{events} alerts in {published - started:.1f} s; "
        f"the last was told {time.monotonic() - published:.1f} s later"
    )
    print(f"unaccounted {balance.unaccounted}; memory at its highest, MB: "
          + ", ".join(f"{name} {most:.0f}" for name, most in highest.items()))  # fmt: skip


def main() -> None:
    """Run it once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--over-s", type=float, default=10.0)
    given = parser.parse_args()
    asyncio.run(storm(given.events, given.over_s))


if __name__ == "__main__":
    main()
