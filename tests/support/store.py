"""Every store on one server, and the invariants that hold after every step."""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from worker.domain.delivery import Delivery, Receipt
from worker.domain.event import Severity
from worker.domain.integration import Conversation, ListingCursor
from worker.store.dead_letters import DeadLetters
from worker.store.deliveries import FINISHED, Deliveries
from worker.store.directory import Directory
from worker.store.events import Events
from worker.store.installation import Processes
from worker.store.integrations import Integrations
from worker.store.keys import Keys
from worker.store.lanes import AppendResult, Lanes, Lease, NewDelivery, TakenDelivery
from worker.store.ledger import Balance, take_ledger_snapshot
from worker.store.pagination import DeliveryFilter, take_rows
from worker.store.rate_limiter import Rate, RateLimiter
from worker.store.redis_client import Client, RedisClient, fields, text, texts
from worker.store.schedule import Backlogs, Schedule, Warnings
from worker.store.stream import EventStream
from worker.store.subscriptions import Subscriptions
from worker.store.token_cipher import TokenCipher, generate_key

LANE = "ops/#alerts"
KEY_RING = generate_key()
OPEN_SCOPES = ("t:closed:none", "t:closed:nowhere")
RECEIPT = Receipt("C1", "1700000000.000100")
HALF_READ = ListingCursor(cursor="next", pages=1)
STREAM, GROUP = "events", "ik-slack"
LIFE_S, RETENTION_S = 1_209_600, 604_800


class World:
    """Every store on one server, under the prefix `t`."""

    def __init__(self, redis: Client, *, longest: int = 10_000) -> None:
        self.redis = redis
        self.keys = Keys("t")
        self.server = RedisClient(redis, self.keys)
        self.lanes = Lanes(self.server, retention_s=RETENTION_S, longest=longest)
        self.deliveries = Deliveries(self.server)
        self.events = Events(self.server, life_s=LIFE_S, retention_s=RETENTION_S)
        self.dead_letters = DeadLetters(self.server, self.deliveries, self.events, self.lanes)
        self.integrations = Integrations(self.server, TokenCipher(KEY_RING))
        self.subscriptions = Subscriptions(self.server)
        self.directory = Directory(self.server)
        self.pace = RateLimiter(self.server, channel=Rate(1.0), workspace=Rate(5.0, 20))
        self.processes = Processes(self.server)
        self.schedule = Schedule(self.server)
        self.backlogs = Backlogs(self.server)
        self.warnings = Warnings(self.server)

    def stream(self, consumer: str = "one", group: str = GROUP) -> EventStream:
        """Return a consumer of the stream."""
        return EventStream(self.server, self.redis, stream=STREAM, group=group, consumer=consumer)

    async def append(
        self, *ids: str, lane: str = LANE, subscription: str = "s1", until_ms: int = 0,
        severity: Severity = Severity.INFO,
    ) -> AppendResult:  # fmt: skip
        """Append deliveries, with their events, to a lane."""
        for id_ in ids:
            await self.redis.hset(f"t:event:{id_}", "src", b"j{}")
        return await self.lanes.append(
            lane, [NewDelivery(id_, f"{id_}.src", subscription, 7, until_ms, severity) for id_ in ids]
        )

    async def hold(self, lane: str = LANE, token: str = "h1") -> Lease:
        """Acquire the lane, which must be free."""
        held = await self.lanes.acquire(lane, token)
        assert isinstance(held, Lease), held
        return held

    async def take(self, held: Lease, most: int = 10_000) -> list[str]:
        """Take deliveries and return their ids."""
        taken = await self.lanes.take(held, OPEN_SCOPES, limit=most)
        assert isinstance(taken, tuple), taken
        assert all(isinstance(one, TakenDelivery) for one in taken)
        return [one.delivery_id for one in taken]

    async def deliver(self, lane: str = LANE, token: str = "h1", *, most: int = 10_000) -> list[str]:
        """Acquire a lane, deliver what is pending, and return the ids."""
        held = await self.hold(lane, token)
        told = await self.take(held, most)
        await self.lanes.settle(held, RECEIPT, told[0], release=True)
        return told

    async def dead(self, *ids: str, lane: str = LANE) -> None:
        """Append deliveries and make them dead letters, as if Slack had rejected them."""
        await self.append(*ids, lane=lane)
        held = await self.hold(lane)
        await self.take(held)
        await self.lanes.dead_letter(held, "invalid_blocks", "no")
        await self.lanes.release(held)

    async def read(self, *pages: Sequence[Conversation]) -> None:
        """Read all channels of the integration `ops` into the directory."""
        assert await self.directory.claim_scan("ops", "reader")
        for page in pages:
            assert (
                await self.directory.save_scanned_page("ops", "reader", page, ListingCursor(pages=len(pages)))
                is not None
            )
        assert await self.directory.finish_scan("ops", "reader")
        await self.directory.release_scan("ops", "reader")

    async def half_read(self, page: Sequence[Conversation], following: ListingCursor = HALF_READ) -> None:
        """Read one page of a directory scan; its reader is `half`."""
        assert await self.directory.claim_scan("ops", "half") is not None
        assert await self.directory.save_scanned_page("ops", "half", page, following) is not None

    async def state(self, id_: str) -> str:
        """Return a delivery's state, empty when there is none."""
        found = await self.deliveries.find(id_)
        return "" if found is None else found.state.value

    async def newest(self) -> list[Delivery]:
        """Return all deliveries, the newest first."""
        return await take_rows(partial(self.deliveries.page, DeliveryFilter()))

    async def balance(self) -> Balance:
        """Return the ledger's balance."""
        return (await take_ledger_snapshot(self.server)).balance

    async def listed(self, lane: str, part: str) -> list[str]:
        """Return the ids of a lane's list."""
        return texts(await self.redis.lrange(f"t:lane:{lane}:{part}", 0, -1))

    async def quiet(self, lane: str = LANE) -> list[str]:
        """Return the ids that wait for the end of quiet hours, the first to be delivered first."""
        return [one.partition(":")[2] for one in texts(await self.redis.zrange(f"t:lane:{lane}:quiet", 0, -1))]

    async def hours_end(self, lane: str = LANE) -> None:
        """End the quiet hours of every delivery that waits for it."""
        key = f"t:lane:{lane}:quiet"
        for member in await self.redis.zrange(key, 0, -1):
            await self.redis.zadd(key, {member: 1})

    async def is_due(self, lane: str = LANE) -> bool:
        """Return whether the lane is due."""
        return await self.redis.zscore("t:due", lane) is not None

    async def lose_lease(self, lane: str = LANE) -> None:
        """Expire the lease of a lane."""
        await self.redis.delete(f"t:lane:{lane}:lease")

    async def check(self) -> None:
        """Assert what holds after every step."""
        balance = (await take_ledger_snapshot(self.server)).balance
        assert balance.unaccounted == 0, balance
        waiting: list[str] = []
        for lane in texts(list(await self.redis.smembers("t:lanes"))):
            waiting += await self._check_lane(lane)
        assert len(waiting) == len(set(waiting)), "a delivery waits twice"
        await self._check_records(waiting, balance)

    async def _check_lane(self, lane: str) -> list[str]:
        key, integration = f"t:lane:{lane}", lane.partition("/")[0]
        taken, pending, quiet, parked, since, probe, held_back, in_held, due, lease = await self.server.pipeline(
            [
                ("LRANGE", f"{key}:taken", 0, -1),
                ("LRANGE", f"{key}:pending", 0, -1),
                ("ZRANGE", f"{key}:quiet", 0, -1),
                ("HGET", key, "parked"),
                ("ZSCORE", "t:parked", lane),
                ("ZSCORE", "t:probes", f"lane:{lane}"),
                ("EXISTS", f"t:integration:{integration}:parked"),
                ("SISMEMBER", f"t:held:{integration}", lane),
                ("ZSCORE", "t:due", lane),
                ("GET", f"{key}:lease"),
            ]
        )
        ids = [*texts([*taken, *pending]), *(one.partition(":")[2] for one in texts(quiet))]
        assert (parked is None) == (since is None) == (probe is None), f"{lane} is parked by halves"
        assert parked is None or due is None, f"{lane} is parked and due"
        assert not in_held or due is None, f"{lane} waits for its integration and is due"
        assert not in_held or ids, f"{lane} waits for its integration with nothing to say"
        assert not in_held or held_back, f"{lane} waits for an integration that works"
        assert lease is None or due is not None, f"{lane} is held, and nobody looks when its holder dies"
        assert not ids or parked or due is not None or in_held, f"{lane} is lost"
        return ids

    async def _check_indexes(self, kept: Sequence[str], states: Counter[str]) -> None:
        for state in FINISHED:
            entries = await self.redis.xrange(f"t:deliveries:{state}")
            listed = [text(entry[b"id"]) for _, entry in entries]
            assert len(set(listed)) == len(listed), f"{state} is listed twice"
            assert len(set(listed) & set(kept)) == states[state], f"not every {state} one is listed"
        reasons = texts(list(await self.redis.smembers("t:dead:reasons")))
        of = [texts(await self.redis.zrange(f"t:dead:of:{reason}", 0, -1)) for reason in reasons]
        dead = texts(await self.redis.zrange("t:dead", 0, -1))
        assert sorted(dead) == sorted(id_ for some in of for id_ in some)

    async def _check_records(self, waiting: Sequence[str], balance: Balance) -> None:
        states: Counter[str] = Counter()
        ids = [text(key).removeprefix("t:delivery:") for key in await self.redis.keys("t:delivery:*")]
        look = [
            (("HGETALL", f"t:delivery:{id_}"), ("PTTL", f"t:delivery:{id_}"), ("ZSCORE", "t:dead", id_)) for id_ in ids
        ]
        found = iter(await self.server.pipeline([command for commands in look for command in commands]))
        for id_, reply, life_ms, died in zip(ids, found, found, found, strict=True):
            kept = fields(reply)
            assert {"event", "sub", "lane", "seq", "state", "born", "accepted"} <= kept.keys(), kept
            is_pending = kept["state"] == "pending"
            assert is_pending == (id_ in waiting), f"{id_} is {kept['state']}"
            assert is_pending == (life_ms == -1), f"{id_} lives {life_ms} ms and is {kept['state']}"
            assert (died is not None) == (kept["state"] == "dead"), f"{id_} is {kept['state']}"
            states[kept["state"]] += 1
        await self._check_indexes(ids, states)
        assert states["pending"] == balance.pending + balance.parked
        counted = {name: getattr(balance, name) for name in ("delivered", "merged", "dead", "discarded")}
        assert {name: states[name] for name in counted} == counted
