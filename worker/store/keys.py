"""Every key, its type and its life, in one place. `P` is `KEY_PREFIX`, `L` a lane, `I` an integration.

key                       type    holds                                              lives
P:lane:L                  hash    integration, destination, address, seq, waits      with the lane
P:lane:L:pending          list    delivery ids in order                              with the lane
P:lane:L:quiet            zset    `<seq>:<id>` held in quiet hours, by when it is told  with the lane
P:lane:L:taken            list    ids of the message being posted                    until Slack's answer
P:lane:L:lease            string  the holder's token                                 LEASE_MS
P:lane:L:wake             string  a wake-up call is on its way                       WAKE_MS
P:lane:L:deliveries       stream  delivery ids of the lane, oldest first             EVENT_LIFE
P:lane:L:missed           list    the newest that expired waiting for a person       RETENTION_S
P:lane:L:attempts         stream  every call to Slack, with the range it told        RETENTION_S
P:lane:L:card:A           string  the card of A as JSON: where it is, what it shows  RETENTION_S
P:lane:L:told:A           string  the same of A told without a card                  RETENTION_S
P:lane:L:run:A            string  what the workflow that works on resource A is about  RETENTION_S
P:lanes                   set     every lane                                         for good
P:due                     zset    lanes with something to say, by when               until empty or parked
P:parked                  zset    lanes that wait for a person, since when           until resumed
P:held:I                  set     lanes that wait for their integration              until it works again
P:probes                  zset    parked lanes and integrations, by next probe       until resumed
P:event:H                 hash    per source: body, accepted, suppressed             EVENT_LIFE
P:recent                  list    what the newest 500 events are kept under, newest first  for good
P:delivery:D              hash    one delivery                                       RETENTION_S once finished
P:deliveries              stream  delivery ids, oldest first                         EVENT_LIFE
P:deliveries:S            stream  those delivered, merged or discarded, as they became so  RETENTION_S
P:dead                    zset    dead letters by time of death                      RETENTION_S
P:dead:of:R               zset    the same of one reason                             RETENTION_S
P:dead:missed             zset    lanes whose missed ones are to be replayed          until they are
P:dead:reasons            set     reasons there are dead letters of                  as long as there are
P:dead:changes            string  counts changes of P:dead                           for good
P:rejected:E              hash    an unreadable entry: raw bytes and what is wrong   RETENTION_S
P:ledger                  hash    the counters of the balance, calls to Slack          for good
P:ledger:hour:H           hash    events, posts and edits by the minute of an hour   26 h
P:metrics                 hash    what processes measured: buckets and sums            for good
P:pace:W:S                string  when the next slot of scope S is free              seconds
P:closed:W:S              string  Slack asked to wait                                Retry-After
P:origin                  hash    since when the data are there, and their layout    for good
P:warnings                zset    what people are to be warned of, begun warnings    until warned
P:integrations            hash    integrations as JSON, tokens sealed                for good
P:integration:I:parked    hash    why nothing of it is posted                        until it works again
P:integration:I:parked:first string when it parked first: one warning, later probes  until something is told
P:subscriptions           hash    subscriptions as JSON                              for good
P:api_tokens              hash    named tokens of the API: their sha256, since when    until revoked
P:subscriptions:removed   zset    ids of those that were removed, by when            EVENT_LIFE
P:template_faults         hash    why templates fail, by subscription                until it works or changes
P:template_fault:D        string  why the template failed for a delivery             RETENTION_S
P:version:NOUN            string  counts changes, so that caches know                for good
P:directory:I:…           hash    channels by id, ids by name, people by email       until read anew
P:directory:I:reading:…   hash    the same of a reading under way, and its place      HALF_READ_MS
P:beat:ROLE               zset    processes alive, by last beat                      trimmed
P:lock:NAME               string  one at a time                                      seconds
P:session:S               string  since when somebody is logged in to the console    8 h unused, a day
P:session:S:tried         string  a token tried there, sealed                        minutes
P:login:of:A, P:login:all hash    tries of the password by address and by all        an hour after the last
P:login:known:A           string  somebody has logged in from there                  90 days
"""

from dataclasses import dataclass

from worker.domain.delivery import digest


@dataclass(frozen=True, slots=True)
class Keys:
    """Names keys under one prefix, so that two installations can share a server."""

    prefix: str = "ik"

    def lane(self, lane: str, part: str = "") -> str:
        """A lane's own hash, or one of its parts: pending, quiet, taken, lease, deliveries, attempts …"""
        return f"{self.prefix}:lane:{lane}:{part}" if part else f"{self.prefix}:lane:{lane}"

    def delivery(self, delivery_id: str) -> str:
        """One delivery's record."""
        return f"{self.prefix}:delivery:{delivery_id}"

    def template_fault(self, delivery_id: str) -> str:
        """Why a delivery was told without its subscription's template."""
        return f"{self.prefix}:template_fault:{delivery_id}"

    def event(self, ref: str) -> tuple[str, str]:
        """An event's key and its source's field, from `<hash of id>.<hash of source>`."""
        id_hash, _, source_hash = ref.partition(".")
        return f"{self.prefix}:event:{id_hash}", source_hash

    def dead(self, reason: str) -> str:
        """The dead letters of one reason; the scripts put `of` and the reason to `dead` themselves."""
        return f"{self.prefix}:dead:of:{reason}"

    def rejected(self, entry_id: str) -> str:
        """An unreadable entry."""
        return f"{self.prefix}:rejected:{entry_id}"

    def held(self, integration_id: str) -> str:
        """The lanes that wait for an integration."""
        return f"{self.prefix}:held:{integration_id}"

    def card(self, lane: str, about: str, part: str = "card") -> str:
        """The card a thing has in a lane, the record of what was `told` of it without one, its `run`."""
        return self.lane(lane, f"{part}:{digest(about)}")

    def integration(self, integration_id: str) -> str:
        """What the keys of one integration begin with."""
        return f"{self.prefix}:integration:{integration_id}"

    def integration_parked(self, integration_id: str) -> str:
        """Why an integration posts nothing; absent while it posts."""
        return f"{self.integration(integration_id)}:parked"

    def integration_parked_first(self, integration_id: str) -> str:
        """When it parked first; the scripts put its end to `integration_parked` themselves."""
        return f"{self.integration_parked(integration_id)}:first"

    def pace(self, workspace: str, scope: str) -> str:
        """When the next slot of a conversation, of all posts or of a method is free."""
        return f"{self.prefix}:pace:{workspace}:{scope}"

    def closed(self, workspace: str, scope: str) -> str:
        """Present while Slack wants to be left alone."""
        return f"{self.prefix}:closed:{workspace}:{scope}"

    def version(self, noun: str) -> str:
        """Counts the changes of a noun."""
        return f"{self.prefix}:version:{noun}"

    def directory(self, integration_id: str, part: str) -> str:
        """channels, names, people or meta of one integration's directory."""
        return f"{self.prefix}:directory:{integration_id}:{part}"

    def reading(self, integration_id: str, part: str) -> str:
        """channels, names or place of a reading under way."""
        return self.directory(integration_id, f"reading:{part}")

    def whole_directory(self, integration_id: str) -> tuple[str, ...]:
        """All there is of a directory; without its claim, whoever reads it is stopped."""
        kept = (self.directory(integration_id, part) for part in ("channels", "names", "people", "meta"))
        read = (self.reading(integration_id, part) for part in ("channels", "names", "place"))
        return (*kept, *read, self.lock(f"directory:{integration_id}"))

    def beat(self, role: str) -> str:
        """Which processes of a role are alive."""
        return f"{self.prefix}:beat:{role}"

    def lock(self, name: str) -> str:
        """A lock by name."""
        return f"{self.prefix}:lock:{name}"

    def session(self, name: str, part: str = "") -> str:
        """A session of the console, by the name that its cookie's value gives, or a part of it: tried."""
        return f"{self.prefix}:session:{name}:{part}" if part else f"{self.prefix}:session:{name}"

    def login(self, what: str) -> str:
        """Tries of the password: `of:` an address, `all`; or that an address is `known:`."""
        return f"{self.prefix}:login:{what}"

    def named(self, name: str) -> str:
        """One of the keys without a parameter: lanes, due, parked, probes, deliveries, dead, ledger …"""
        return f"{self.prefix}:{name}"
