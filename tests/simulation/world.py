"""One run: two ingests and two workers, a Redis and a Slack, and all that goes wrong between them."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from arrivals import DEV, EMAIL, OPS, PERSON, arrivals, subscriptions
from calls import Calls
from checks import balance_of, unrest
from fakeredis import FakeRedis, FakeServer
from far_end import FarEnd
from luck import FAULTY_S, Luck
from machine import Machine, tasks_of_machines
from real_server import RealServer
from support.fake_slack import FakeSlack
from support.pipeline import START_S, settings
from virtual_loop import VirtualLoop
from watch import Watch
from wire import News, Server, Wire

from config.settings import Settings
from worker.bootstrap.context import open_context
from worker.domain.integration import Person, Secret
from worker.pipeline.integration_setup import add_integration, rotate_token
from worker.services.dead_letters import replay_one
from worker.store.redis_errors import StoreUnavailable

STREAM = "infrakitchen:events"
QUIET_MOST_S = 400.0
BALANCE_S, LOOK_S, AWAKE_S = 3.0, 2.0, 2.0


class Clock:
    """The server's clock, as the `time` module says it; it jumps when a run wants it to."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.ahead_s = START_S

    def time(self) -> float:
        return self._loop.now_s + self.ahead_s

    monotonic = time

    def __getattr__(self, name: str) -> Any:
        import time

        return getattr(time, name)


class World:
    """Everything of one run."""

    def __init__(self, seed: int, real: RealServer | None = None) -> None:
        self.luck = Luck(seed)
        self.loop = VirtualLoop()
        tasks_of_machines(self.loop)
        self.clock = Clock(self.loop)
        self.real = real
        if real:
            real.clear()
        self.redis = real.redis if real else FakeRedis(server=FakeServer(), protocol=2, encoding_errors="replace")
        self.watch = Watch(self.redis, self.loop.time, lambda: self.clock.time() * 1000)
        self.slack = FakeSlack()
        self.news = News()
        self.server = real or Server(self.redis)
        self.loop.moved = self._moved
        self._moved()
        self.machines: list[Machine] = []
        self.calls = Calls(self.loop, self.luck, self._ready)
        self.settings = _settings(self.luck)
        self.subscriptions = subscriptions(self.luck)
        self.published: list[tuple[str, bytes]] = []
        self.ending = False
        self.steps = 0
        self._names = 0

    # The machines.

    def begin(self, sort: str) -> Machine:
        """One more machine of a sort."""
        self._names += 1
        machine = Machine(f"{sort}-{self._names}", self.loop, self.luck, partial(self._died, sort))
        machine.sort = sort
        self.machines.append(machine)
        run = self._worker if sort == "worker" else self._ingest
        machine.main = machine.start(self._report_failure(machine, run(machine)))
        return machine

    def _died(self, sort: str, machine: Machine) -> None:
        self.watch.note(f"{machine.name} died")
        self.loop.call_later(self.luck.random.uniform(0.1, 5.0), self._begin_again, sort)

    def _begin_again(self, sort: str) -> None:
        if not self.ending:
            self.begin(sort)

    async def _report_failure(self, machine: Machine, run: Any) -> None:
        try:
            await run
        except Exception as fault:
            logging.getLogger("worker").exception("a machine ended by itself")
            self.watch.wrong(f"{machine.name} ended: {fault!r}")

    def _services(self, machine: Machine) -> Any:
        return open_context(
            self.settings,
            redis=Wire(machine, self._effect, self.news),
            gateway=FarEnd(self.slack, machine, self.watch.taken),
            shutdown=machine.stopping,
            wake=partial(self.calls.wake, machine),
            clock=self.loop.time,
            worker_id=machine.name,
        )

    async def _worker(self, machine: Machine) -> None:
        async with self._services(machine) as app:
            app.delivery.outcomes.now_s = self.clock.time
            machine.app = app
            sweep = asyncio.create_task(app.sweeper.run())
            await machine.stopping.wait()
            await asyncio.gather(*machine.work, return_exceptions=True)
            await sweep
            with contextlib.suppress(StoreUnavailable):
                await app.sweeper.stop()

    async def _ingest(self, machine: Machine) -> None:
        async with self._services(machine) as app:
            await app.ingest.run()

    def _ready(self) -> Sequence[Machine]:
        """Workers that take calls."""
        return [one for one in self.machines if one.app and not one.dead and not one.stopping.is_set()]

    def _effect(self, machine: Machine, words: Sequence[Any]) -> Any:
        self.steps += 1
        return self.watch.step(machine, words, partial(self.server.execute, words))

    # The story.

    async def story(self) -> None:
        """Run the phases: setup, faults, recovery, quiet, end."""
        person = Machine("person", self.loop, replace(Luck(0), calm=True), lambda _: None)
        await self._set_up(person)
        for sort in ("ingest", "worker", "ingest", "worker"):
            self.begin(sort)
        for at_s, body in arrivals(self.luck, START_S):
            self.loop.call_later(at_s, self._publish, body)
        self._plan(person)
        while self.loop.now_s < FAULTY_S:
            await asyncio.sleep(BALANCE_S)
            self._balance()
        self._end_faults()
        await self._quiet()
        await self._stop()

    async def _set_up(self, person: Machine) -> None:
        for id_, name in ((OPS, "ops"), (DEV, "dev"), ("C0000003", "sec")):
            self.slack.add_channel(id_, name)
        self.slack.people[EMAIL] = Person(PERSON)
        async with self._services(person) as app:
            await add_integration(app.integrations, app.gateway, "acme", Secret("xoxb-1"))
            await app.subscriptions.save_and_remove(save=self.subscriptions)

    def _publish(self, body: bytes) -> None:
        self.published.append((self.redis.xadd(STREAM, {"event": body}).decode(), body))
        self.watch.note(f"published {body[:60]!r}")
        self.news.notify()

    def _plan(self, person: Machine) -> None:
        """Return the changes by people and clocks during the faults."""
        luck, at = self.luck, self.loop.call_later
        if luck.random.random() < 0.4:
            channel, how = luck.random.choice((OPS, DEV)), luck.random.choice(("is_member", "is_archived"))
            gone = how == "is_archived"
            at(luck.within(), self._channel, channel, {how: gone})
            at(luck.within(), self._channel, channel, {how: not gone})
        if luck.random.random() < 0.4:
            begins_s = luck.within()
            at(begins_s, self._token, luck.random.choice(("token_revoked", "account_inactive")))
            at(begins_s + luck.within(10.0), self._token, "")
            if luck.random.random() < 0.5:
                at(begins_s + luck.within(10.0), lambda: person.start(self._rotate(person)))
        if luck.random.random() < 0.15:
            at(luck.within(), self._jump, luck.random.choice((-40.0, -3.0, 5.0, 60.0, 7200.0)))
        if luck.random.random() < 0.3:
            at(luck.within(), self._deploy, luck.random.choice(("worker", "ingest")))
        if luck.random.random() < 0.3:
            for _ in range(2):  # two people, perhaps at once
                at(FAULTY_S - luck.random.random(), lambda: person.start(self._replay(person)))

    def _channel(self, id_: str, change: dict[str, bool]) -> None:
        self.watch.note(f"{id_} {change}")
        self.slack.change(id_, **change)

    def _token(self, fault: str) -> None:
        self.watch.note(f"token {fault}")
        self.slack.faults = {"xoxb-1": fault} if fault else {}

    async def _rotate(self, person: Machine) -> None:
        async with self._services(person) as app:
            known = await app.integrations.find("acme")
            await rotate_token(app.integrations, app.gateway, known, Secret("xoxb-2"), force=False)

    async def _replay(self, person: Machine) -> None:
        async with self._services(person) as app:
            for letter in await app.dead_letters.list_all():
                await replay_one(app, letter.id)

    def _moved(self) -> None:
        """A real server has this clock too."""
        if self.real:
            self.real.set_clock(self.clock.time())

    def _jump(self, by_s: float) -> None:
        self.watch.note(f"the server's clock jumps by {by_s} s")
        self.clock.ahead_s += by_s
        self._moved()
        for machine in self.machines:
            machine.troubles += 1  # leases end early
        self.watch.clock_jumped(by_s)

    def _deploy(self, sort: str) -> None:
        for machine in [one for one in self.machines if one.sort == sort and not one.main.done()]:
            machine.stopping.set()
            machine.main.add_done_callback(lambda _, one=machine: one.dead or self._begin_again(sort))

    # The end.

    def _balance(self) -> None:
        """True at every moment, whatever is under way."""
        if unaccounted := balance_of(self.redis).unaccounted:
            self.watch.wrong(f"the ledger does not balance: {unaccounted}")

    def _end_faults(self) -> None:
        self.watch.note("the faults have ended")
        self.luck.calm = True
        self.slack.faults = {}
        for id_ in (OPS, DEV):
            self.slack.change(id_, is_member=True, is_archived=False)

    async def _quiet(self) -> None:
        """Wait until nothing is pending, without further events."""
        until_s = self.loop.now_s + QUIET_MOST_S
        while restless := unrest(self.redis) or self._asleep():
            if self.loop.now_s > until_s:
                self.watch.wrong(f"not quiet {QUIET_MOST_S:g} s after the faults ended: {restless}")
                return
            self._balance()
            await asyncio.sleep(LOOK_S)

    def _asleep(self) -> str:
        """Return the machines that are paused or were a moment ago; their unfinished calls may fail late."""
        sleepers = (one for one in self.machines if not one.dead)
        return ", ".join(one.name for one in sleepers if one.paused_until_s + AWAKE_S > self.loop.now_s)

    async def _stop(self) -> None:
        self.ending = self.calls.over = True
        alive = [one for one in self.machines if not one.dead]
        for machine in alive:
            machine.stopping.set()
        _, left = await asyncio.wait([one.main for one in alive], timeout=60.0)
        if left:
            names = [one.name for one in alive if not one.main.done()]
            self.watch.wrong(f"did not stop within a minute: {names}")


def _settings(luck: Luck) -> Settings:
    """Mostly as they are; some runs are near a limit."""
    choice = luck.random.choice
    return settings(
        post_rate_per_workspace=choice((300.0, 300.0, 60.0)),
        post_burst_per_channel=choice((1, 1, 3)),
        lane_max_length=choice((10_000, 10_000, 10_000, 4)),
        operations_channel=choice((None, None, None, "#sec")),
        probe_interval_s=10,
    )
