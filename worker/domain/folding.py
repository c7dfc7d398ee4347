"""What one message tells: the newest state of each entity, and what merges into it."""

from dataclasses import dataclass

from worker.domain.event import Event


@dataclass(frozen=True, slots=True)
class Told:
    """A delivery with its event, and whom its subscription mentions for it."""

    delivery_id: str
    event: Event
    mention: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """The newest state of one entity, and how many older states of it this message tells too."""

    event: Event
    delivery_id: str
    older: int = 0


@dataclass(frozen=True, slots=True)
class Folding:
    """What one message tells: a line per entity, most urgent first. The first line's delivery leads."""

    lines: tuple[Line, ...]
    mentions: tuple[str, ...] = ()

    @property
    def lead(self) -> str:
        """The delivery whose receipt this message is; all others are merged into it."""
        return self.lines[0].delivery_id

    @property
    def events(self) -> int:
        """How many events it tells."""
        return sum(1 + line.older for line in self.lines)
