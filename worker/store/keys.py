"""Every key of Redis, its type and its lifetime. `P` is `KEY_PREFIX`, `L` a lane, `I` an integration, `A` a subject.

key                       type    holds                                              lifetime
P:lane:L                  hash    integration, destination, address, seq, parking    as long as the lane
P:lane:L:pending          list    ids of pending deliveries in order                 as long as the lane
P:lane:L:quiet            zset    `<seq>:<id>` held in quiet hours, by their end     as long as the lane
P:lane:L:taken            list    ids of the deliveries being sent                   until Slack's answer
P:lane:L:lease            string  the lease holder's token                           LEASE_MS
P:lane:L:wake             string  a wake-up call was sent                            WAKE_MS
P:lane:L:deliveries       stream  ids of the lane's deliveries, oldest first         lifetime of events
P:lane:L:missed           list    the newest that expired while the lane was parked  RETENTION_S
P:lane:L:attempts         stream  every call to Slack, with the deliveries it was for  RETENTION_S
P:lane:L:card:A           string  the card of A as JSON: where it is, what it shows  RETENTION_S
P:lane:L:told:A           string  the same of A reported without a card              RETENTION_S
P:lane:L:run:A            string  subject of the workflow run that works on A        RETENTION_S
P:lane:L:sources:F        set     sources whose alert of fingerprint F got a card    RETENTION_S
P:lanes                   set     every lane                                         until it has no history
P:due                     zset    lanes with pending deliveries, by when they are due  until empty or parked
P:parked                  zset    parked lanes, by when they were parked             until resumed
P:held:I                  set     lanes of a parked integration                      until it is resumed
P:probes                  zset    parked lanes and integrations, by next probe       until resumed
P:event:H                 hash    by source: body, accepted, suppressed, repeats     lifetime of events
P:followed:A              hash    subscriptions that get every later state of A      RETENTION_S
P:entity:A                string  an entity's newest known name and state            RETENTION_S
P:twin:B                  string  the newest entry whose event has these bytes       lifetime of events
P:bridge                  hash    the bridge's session, messages taken, when the last  forever
P:bridge:bodies           hash    messages by hash that may be redelivered           until others come
P:bridge:order            list    hashes of the newest messages, oldest first        seconds
P:bridge:held             zset    states and notifications that wait for each other  seconds
P:bridge:entity:E         hash    last state of an entity, what is held of it        RETENTION_S
P:recent                  list    references of the newest 500 events, newest first  forever
P:delivery:D              hash    a delivery                                         RETENTION_S once finished
P:deliveries              stream  ids of all deliveries, oldest first                lifetime of events
P:deliveries:S            stream  those delivered, merged or discarded, by that time  RETENTION_S
P:dead                    zset    dead letters by time of death                      RETENTION_S
P:dead:of:R               zset    dead letters of one reason                         RETENTION_S
P:dead:critical           zset    dead letters of critical events                    RETENTION_S
P:dead:missed             zset    lanes whose expired deliveries are to be replayed  until they are
P:dead:reasons            set     reasons of dead letters                            forever
P:dead:changes            string  number of changes of P:dead                        forever
P:rejected:E              hash    an unreadable entry: raw bytes and what is wrong   RETENTION_S
P:ledger                  hash    counters of the balance and of calls to Slack      forever
P:ledger:hour:H           hash    events, posts and edits by the minute of an hour   26 h
P:metrics                 hash    measurements of the processes: buckets and sums    forever
P:pace:W:S                string  when the next slot of scope S is free              seconds
P:closed:W:S              string  Slack asked to wait                                Retry-After
P:replaced                zset    cards to be closed, with the messages they link, by next try  a day at most
P:origin                  hash    when the data of this installation began, their layout  forever
P:warnings                zset    warnings still to be sent                          until sent
P:integrations            hash    integrations as JSON, tokens encrypted             forever
P:integration:I:parked    hash    why an integration is parked                       until it is resumed
P:integration:I:parked:first  string  when it was first parked                       until a message is sent
P:integration:I:calls     hash    when its calls last succeeded and failed           as long as the integration
P:subscriptions           hash    subscriptions as JSON                              forever
P:api_tokens              hash    named API tokens: sha256 and time of creation      until revoked
P:subscriptions:removed   zset    ids of removed subscriptions, by time              lifetime of events
P:template_faults         hash    why templates fail, by subscription                until it works or changes
P:template_fault:D        string  why the template failed for a delivery             RETENTION_S
P:version:NOUN            string  number of changes, for caches                      forever
P:directory:I:…           hash    channels by id, ids by name, people by email       until the next scan
P:directory:I:reading:…   hash    the same of a scan in progress, and its cursor     HALF_SCAN_MS
P:beat:ROLE               zset    processes by last heartbeat                        trimmed
P:lock:NAME               string  the holder of a lock                               seconds
P:session:S               string  when a console session was opened                  8 h unused, a day
P:session:S:tried         string  an encrypted token being tested in that session    minutes
P:login:of:A, P:login:all hash    login attempts by client address and by all        an hour after the last
P:login:token:…           hash    wrong API tokens by client address and by all        an hour after the last
P:login:known:A           string  a login succeeded from that client address         90 days
"""

from dataclasses import dataclass
from functools import partialmethod

from worker.domain.delivery import stable_hash
from worker.domain.event import Entity

# Parts of a lane that are kept by subject: its card, the record of a message without a card, its workflow run,
# and by fingerprint: the sources of its alerts.
CARD, RECORD, RUN, SOURCES = "card", "told", "run", "sources"


@dataclass(frozen=True, slots=True)
class Keys:
    """The names of keys under one prefix, so that two installations can share a server."""

    prefix: str = "ik"

    def named(self, *parts: str) -> str:
        """Return the key of these parts."""
        return ":".join((self.prefix, *parts))

    delivery = partialmethod(named, "delivery")
    template_error = partialmethod(named, "template_fault")
    twin = partialmethod(named, "twin")  #: by the hash of an event's bytes
    dead = partialmethod(named, "dead", "of")  #: by reason; scripts append `:of:<reason>` to `dead` themselves
    rejected = partialmethod(named, "rejected")
    lanes_of_parked_integration = partialmethod(named, "held")
    integration = partialmethod(named, "integration")  #: by id, then `parked` (while it is, or disabled) or `calls`
    pace = partialmethod(named, "pace")  #: by workspace, then a conversation, `posts` or a method
    closed = partialmethod(named, "closed")  #: the same
    version = partialmethod(named, "version")
    directory = partialmethod(named, "directory")  #: by integration, then a part, or `reading` and a part of a scan
    heartbeats = partialmethod(named, "beat")
    lock = partialmethod(named, "lock")
    session = partialmethod(named, "session")  #: by a name derived from the cookie, then none or `tried`
    login = partialmethod(named, "login")  #: `of:<address>`, `all`, or `known:<address>` after a success

    def lane(self, lane: str, part: str = "") -> str:
        """Return the key of a lane's hash, or of one of its parts: pending, quiet, taken, lease, attempts."""
        return f"{self.prefix}:lane:{lane}:{part}" if part else f"{self.prefix}:lane:{lane}"

    def card(self, lane: str, subject_key: str, part: str = CARD) -> str:
        """Return the key of a subject's card in a lane, of its record without a card, or of its run."""
        return self.lane(lane, f"{part}:{stable_hash(subject_key)}")

    def event(self, ref: str) -> tuple[str, str]:
        """Return an event's key and its source's field, from `<hash of id>.<hash of source>`."""
        id_hash, _, source_hash = ref.partition(".")
        return f"{self.prefix}:event:{id_hash}", source_hash

    def entity(self, entity: Entity) -> str:
        """Return the key of what is known of an entity."""
        return self.named("entity", stable_hash(entity.key))

    def bridge(self, part: str = "") -> str:
        """Return the key of the bridge's session, or of what it remembers: bodies, order, held."""
        return self.named("bridge", part) if part else self.named("bridge")

    def bridge_entity(self, entity: Entity) -> str:
        """Return the key of what the bridge knows of an entity."""
        return self.named("bridge", "entity", stable_hash(entity.key))

    def all_of_directory(self, integration_id: str) -> tuple[str, ...]:
        """Return all keys of a directory, with the lock of its scan: deleting that stops the scan."""
        parts = ("channels", "names", "people", "meta", "reading:channels", "reading:names", "reading:place")
        return (*(self.directory(integration_id, part) for part in parts), self.lock(f"directory:{integration_id}"))
