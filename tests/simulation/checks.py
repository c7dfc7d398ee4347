"""The checks at the end of a run: every delivery posted once, the newest states shown, nothing left in Redis."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from arrivals import UNREADABLE
from redis import Redis

from worker import sources
from worker.domain.card import can_have_card
from worker.domain.delivery import delivery_id, event_ref
from worker.domain.event import Event
from worker.domain.subscription_index import SubscriptionIndex
from worker.store.ledger import Balance, parse_snapshot
from worker.store.redis_client import fields, script_source, text

if TYPE_CHECKING:
    from world import World

STREAM, GROUP = "infrakitchen:events", "ik-slack"


def balance_of(redis: Redis) -> Balance:
    """The ledger, asked for beside everybody."""
    keys = ("ik:due", "ik:parked", "ik:integrations", "ik:probes", "ik:ledger")
    prefixes = ("ik:held:", "ik:lane:", "ik:integration:", "ik:delivery:")
    return parse_snapshot(redis.eval(script_source("ledger_snapshot"), len(keys), *keys, *prefixes)).balance


def unrest(redis: Redis) -> str:
    """Return what is still pending, empty if nothing is."""
    balance = balance_of(redis)
    found = {"pending": balance.pending, "parked": balance.parked}
    for name in ("due", "parked", "probes", "warnings", "replaced"):
        found[f"ik:{name}"] = redis.zcard(f"ik:{name}")
    found["held"] = sum(redis.scard(key) for key in redis.keys("ik:held:*"))
    found["leases"] = len(redis.keys("ik:lane:*:lease"))
    groups = redis.xinfo_groups(STREAM) if redis.exists(STREAM) else []
    last = redis.xinfo_stream(STREAM)["last-generated-id"] if redis.exists(STREAM) else b"0-0"
    for group in groups:
        found["unfinished"] = group["pending"]
        found["unread"] = int(group["last-delivered-id"] != last)
    return ", ".join(f"{name} {count}" for name, count in found.items() if count)


def check(world: "World") -> None:
    """Every promise that can be seen at the end."""
    accounts = Accounts(world)
    accounts.events()
    accounts.deliveries()
    accounts.newest()
    accounts.left_behind()


class Accounts:
    """One run's books, kept by the published events alone."""

    def __init__(self, world: "World") -> None:
        self.world, self.redis, self.wrong = world, world.redis, world.watch.wrong
        self.first: dict[str, Event] = {}
        self.repeats = self.unreadable = 0
        for entry, body in world.published:
            if body == UNREADABLE:
                self.unreadable += 1
                continue
            event = sources.parse(body, entry)
            self.repeats += event.id in self.first
            self.first.setdefault(event.id, event)
        self.wanted = [
            (event, one)
            for event in self.first.values()
            for one in SubscriptionIndex.build(world.subscriptions).match(event, event.accepted_at_ms)
        ]

    def events(self) -> None:
        """Each is counted once, as what it is."""
        balance, routed, warned = (
            balance_of(self.redis),
            {event.id for event, _ in self.wanted},
            self.warnings(),
        )
        expected = {
            "accepted": len(self.first) + len(warned),
            "repeats_ignored": self.repeats,
            "rejected": self.unreadable,
            "suppressed": len(self.first) - len(routed),
            "created": len(self.wanted) + len(warned),
            **dict.fromkeys(("pending", "parked", "discarded", "unaccounted"), 0),
        }
        for name, count in expected.items():
            if (found := getattr(balance, name)) != count:
                self.wrong(f"{name} is {found}, and {count} were published so")
        for event in self.first.values():
            key, source = (
                f"ik:event:{event_ref(event.source, event.id).partition('.')[0]}",
                event_ref(event.source, event.id).partition(".")[2],
            )
            if not self.redis.hget(key, f"{source}:accepted"):
                self.wrong(f"{event.id} was not accepted")

    def warnings(self) -> list[str]:
        """The states of deliveries of our own, to the operations channel."""
        kept = [fields(self.redis.hgetall(key)) for key in self.redis.keys("ik:delivery:*")]
        return [one["state"] for one in kept if one["sub"].startswith("operations")]

    def deliveries(self) -> None:
        """Check that each delivery is in a stored message or is a dead letter, and that repeats are marked."""
        world, states = self.world, Counter(self.warnings())
        watch = world.watch
        lost = {lane for lane in {call.lane for call in watch.slack_calls} if watch.has_lost_card(lane)}
        # A reply in the thread of a message that is gone does not show its state in the channel.
        calls = (call for call in watch.slack_calls if call.call != "edit")
        shown = [call for call in calls if call.call == "post" or call.lane not in lost]
        posts = Counter(id_ for call in shown for id_ in call.finished)
        for event, one in self.wanted:
            id_ = delivery_id(event.source, event.id, one.id)
            kept = fields(self.redis.hgetall(f"ik:delivery:{id_}"))
            state = kept.get("state", "lost")
            states[state] += 1
            if state in ("delivered", "merged"):
                place = int(kept["ts"].partition(".")[0]) - 1_700_000_001
                if not 0 <= place < len(world.slack.posts):
                    self.wrong(f"{event.id} for {one.lane} names a message that is not there")
                if posts[id_] > 1 and kept.get("repeated") != "1":
                    self.wrong(f"{event.id} for {one.lane} was posted {posts[id_]} times without a mark")
            elif state != "dead":
                self.wrong(f"{event.id} for {one.lane} is {state}")
        balance = balance_of(self.redis)
        counted = {name: getattr(balance, name) for name in ("delivered", "merged", "dead")}
        if any(states[name] != count for name, count in counted.items()):
            self.wrong(f"the ledger says {counted}, the records {dict(states)}")

    def newest(self) -> None:
        """Check that each card shows the newest state."""
        newest: dict[tuple[str, str], Any] = {}
        for event, one in self.wanted:
            id_ = delivery_id(event.source, event.id, one.id)
            state = text(self.redis.hget(f"ik:delivery:{id_}", "state"))
            if state in ("delivered", "merged") and one.style != "plain" and can_have_card(event):
                place = one.lane, event.subject_key
                newest[place] = max(newest.get(place, event.order), event.order)
        for place, order in newest.items():
            if self.world.watch.shown.get(place, (0.0, 0, 0)) < order:
                self.wrong(f"{place[1]} in {place[0]} is not shown in its newest state")

    def left_behind(self) -> None:
        """Check that no delivery is pending, no lane is leased, and every lock expires."""
        if restless := unrest(self.redis):
            self.wrong(f"left behind: {restless}")
        for pattern in ("ik:lock:*", "ik:lane:*:lease", "ik:lane:*:wake", "ik:lane:*:taken"):
            for key in self.redis.keys(pattern):
                if self.redis.pttl(key) < 0:
                    self.wrong(f"{text(key)} is there for good")
