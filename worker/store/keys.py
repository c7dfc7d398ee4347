"""Every key of Redis by name; `docs/redis.md` lists them with their types, contents and lifetimes."""

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

    @property
    def of_waiting_lanes(self) -> tuple[str, ...]:
        """Return the keys from which a script finds all lanes with pending deliveries."""
        return tuple(map(self.named, ("due", "parked", "integrations", "probes")))

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
