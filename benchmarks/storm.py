"""10,000 alerts for one channel within ten seconds, at Slack's rate limits.

    python benchmarks/storm.py [--events 10000] [--over-s 10]

Prints the time from the last alert to the message that reports it, the number of messages, the violations of
Slack's rate limits, and the peak memory of each process.
"""

import argparse
import asyncio
import tempfile
import time

import environment
import workload

from worker.bootstrap.context import AppContext
from worker.domain.integration import Secret
from worker.domain.subscription import Subscription
from worker.pipeline.integration_setup import add_integration
from worker.publish import encode
from worker.sandbox.slack.server import SlackSandbox
from worker.store.ledger import take_ledger_snapshot

BATCH = 100


async def measure(events: int, over_s: float) -> None:
    """Publish, wait until everything is delivered, and print the figures."""
    sandbox = SlackSandbox()
    workspace = sandbox.add_workspace("Bench")
    workspace.add_channel("alerts")
    with environment.redis_server() as redis_url, tempfile.TemporaryDirectory() as folder:
        async with sandbox.serving() as slack_url:
            settings = environment.settings(redis_url, slack_url, folder, **environment.SLACK_PACE)
            async with environment.open_app(settings) as app:
                integration = await add_integration(app.integrations, app.gateway, "bench", Secret(workspace.token))
                await app.subscriptions.save_and_remove(save=[Subscription("s", integration.id, "#alerts")])
                with environment.worker(settings) as worker, environment.ingest(settings) as ingest:
                    await run_storm(app, events, over_s, {"worker": worker.pid, "ingest": ingest.pid})
    print(f"{len(sandbox.messages('alerts'))} messages, violations of the rate limits: {dict(sandbox.violations)}")


async def run_storm(app: AppContext, events: int, over_s: float, pids: dict[str, int]) -> None:
    """Publish the alerts evenly over a time and wait until each is delivered."""
    await environment.wait_for_processes(app)
    started = time.monotonic()
    for start in range(0, events, BATCH):
        await workload.publish(app, [encode(workload.alert(n)) for n in range(start, min(start + BATCH, events))])
        await asyncio.sleep(max(started + over_s * (start + BATCH) / events - time.monotonic(), 0))
    published = time.monotonic()
    while True:
        balance = (await take_ledger_snapshot(app.redis)).balance
        if balance.delivered + balance.merged >= events:
            break
        if time.monotonic() > published + 300:
            raise TimeoutError(balance)
        await asyncio.sleep(0.1)
    delay_s = time.monotonic() - published
    print(f"{events} alerts in {published - started:.1f} s; the last was delivered {delay_s:.1f} s later")
    memory = ", ".join(f"{name} {environment.peak_mb(pid):.0f}" for name, pid in pids.items())
    print(f"unaccounted {balance.unaccounted}; peak memory, MB: {memory}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--over-s", type=float, default=10.0)
    options = parser.parse_args()
    asyncio.run(measure(options.events, options.over_s))
