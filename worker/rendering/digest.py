"""Digest: several entities in one message, the most urgent first, each in a row of its own while there is room.

Where there is too little room, entities of one name share a row if their reason is the same. What has no row is named
behind the rows as far as it fits, and counted.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from worker.domain import presentation
from worker.domain.event import Event, Kind
from worker.domain.message import Block, Context, Message, Section
from worker.domain.message_plan import Line, MessageContent
from worker.domain.mrkdwn import bold, code, date, line_ends, link, split_markup, units
from worker.domain.mrkdwn import line as one_line
from worker.domain.presentation import PLACES, appearance, failure_reason, headline, summary_line, urgency, where_labels
from worker.rendering.single import event_url

LINES_LIMIT = 40
ROWS_CHARS = 8_000  # of the 11,000 of all texts together; the rest is for headline, counts and fallback text
SECTION_CHARS = 2_800
SHARED_CHARS = 400  # room for names that a shared row has in any case
GROUPS_LIMIT = 8
FEW = 12  # up to this number of entities have more details
HALF_A_DAY_S = 43_200.0
TITLE, NAME = 120, 80
NAME_LABELS = 3
LONG_ID, SHORT_ID = 20, 8
AREAS = ("cluster", "namespace")  # said of every entity where they are not the same for all
LATE_NOTE = "🕰 {:,} of these are late, because they could not be sent when they happened: see their times."
REPEAT_NOTE = "↻ Slack did not confirm an earlier attempt: some of this may repeat a message that you have seen."
URGENT_NOTE = "🔝 {:,} of the most urgent are not listed here: each gets a message of its own."

_Group = list["_Thing"]  # the things of one row


def digest(content: MessageContent, infrakitchen_url: str, *, may_repeat: bool = False, list_url: str = "") -> Message:
    """Return one message for several entities; `list_url` links to all of them."""
    things, place = _name_things(content.lines, infrakitchen_url)
    layout = _Layout(things)
    rows, room = layout.rows()
    hidden = [thing for group in layout.groups[len(rows) :] for thing in group]
    emoji = Counter(thing.emoji for thing in things)
    count = f"{content.event_count:,} updates"
    of = f" of {len(things):,} things" if content.event_count > len(things) else ""
    tally = "  ".join(f"{sign} {number:,} {presentation.EMOJI_NAMES[sign]}" for sign, number in emoji.items())
    blocks: list[Block] = [Section(text) for text in split_markup("\n".join(rows), SECTION_CHARS)]
    if hidden:
        blocks.append(Section(_count_hidden(hidden, list_url, min(room, SECTION_CHARS // 2))))
    if content.urgent_count:
        blocks.append(Context(URGENT_NOTE.format(content.urgent_count)))
    if content.replayed_count:
        blocks.append(Context(LATE_NOTE.format(content.replayed_count)))
    if may_repeat:
        blocks.append(Context(REPEAT_NOTE))
    where = ("in", code(place, NAME)) if place else ()
    text = f"{count}{f' in {one_line(place, NAME)}' if place else ''}: {_most_urgent(things)}"
    when = ("·", layout.time(layout.newest_s)) if layout.is_one_minute else ()
    headline_text = " ".join((*content.mentions, f"*{count}*{of}", f"  {tally}", *where, *when))
    colour = appearance(content.lines[0].event)[1]
    return Message(" ".join((*content.mentions, text)), (Section(headline_text),), tuple(blocks), colour)


@dataclass(slots=True)
class _Thing:
    """An entity of a digest, with what its row shows."""

    line: Line
    labels: Mapping[str, str]
    url: str
    name: str = ""  #: What distinguishes it from things with the same title, and where it is.
    emoji: str = field(init=False)
    title: str = field(init=False)
    reason: str = field(init=False)  #: Why it failed; of any other event, the first line of its text.

    def __post_init__(self) -> None:
        event = self.line.event
        self.emoji, self.title, text = appearance(event)[0], headline(event), summary_line(event)
        self.reason = text if failure_reason(event) else text.partition("\n")[0]

    @property
    def event(self) -> Event:
        return self.line.event


def _name_things(lines: Sequence[Line], infrakitchen_url: str) -> tuple[list[_Thing], str]:
    """Return the entities with their names, and the place that all of them share."""
    things = [_Thing(line, where_labels(line.event), event_url(line.event, infrakitchen_url)) for line in lines]
    varied = [key for key in PLACES if len({thing.labels.get(key) for thing in things}) > 1]
    shared = [things[0].labels[key] for key in PLACES if key in things[0].labels and key not in (*varied, "container")]
    for group in _grouped(things, lambda thing: (thing.event.entity.type, thing.title)):
        keys = _naming_labels([thing.labels for thing in group], varied)
        for thing in group:
            places = "/".join(thing.labels[key] for key in keys if key in PLACES and key in thing.labels)
            others = (f"{key}={thing.labels[key]}" for key in keys if key not in PLACES and key in thing.labels)
            thing.name = " ".join(filter(None, (places, *others)))
        entity_names = {thing.event.entity.name for thing in group}
        for same in _grouped(group, lambda thing: thing.name):
            for thing in same if len(same) > 1 else ():
                is_named = len(entity_names) == len(group)
                thing.name += f" {thing.event.entity.name if is_named else _short_id(thing.event)}"
            kind = same[0].event.entity.type.replace("_", " ")
            if not same[0].name and same[0].title.lower().startswith(f"{kind}: "):  # without a name, as own bodies are
                same[0].name = _short_id(same[0].event)
    return things, "/".join(shared[:NAME_LABELS])


def _naming_labels(labels: Sequence[Mapping[str, str]], varied: Sequence[str]) -> list[str]:
    """Return the labels that distinguish things of one title, places first; `varied` places differ in the digest."""

    def count(keys: Iterable[str]) -> int:
        return len({tuple(map(own.get, keys)) for own in labels})

    keys = [key for key in varied if key in AREAS and any(key in own for own in labels)]
    if len(labels) == 1:
        return keys + [key for key in varied if key not in AREAS and key in labels[0]][:1]
    differing = {key: count([key]) for key in dict.fromkeys(key for own in labels for key in own) if key not in keys}
    others = sorted((key for key, number in differing.items() if key not in PLACES and number > 1))
    others.sort(key=lambda key: -differing[key])
    candidates = [key for key in PLACES if differing.get(key, 0) > 1] + others
    if count(keys) < len(labels):
        if key := next((key for key in candidates if count([*keys, key]) == len(labels)), ""):
            return [*keys, key]
        for key in candidates:
            if len(keys) < NAME_LABELS and count([*keys, key]) > count(keys):
                keys.append(key)
    return keys


def _short_id(event: Event) -> str:
    id_ = event.fingerprint or event.entity.id or event.id
    return id_ if len(id_) <= LONG_ID else id_[:SHORT_ID]


def _most_urgent(things: Sequence[_Thing]) -> str:
    """Return the first three titles, each with the first names, for the notification on a phone."""
    shown = []
    groups = _grouped(things, lambda thing: (thing.emoji, thing.title))
    for group in groups[:3]:
        title = f"{group[0].emoji} {line_ends(group[0].title, 100)}"
        names = ", ".join(line_ends(thing.name, NAME // 2) for thing in group[:3] if thing.name)
        more = " …" if len(group) > 3 else ""
        shown.append(f"{title} × {len(group):,} ({names}{more})" if len(group) > 1 else f"{title} {names}".rstrip())
    return "; ".join(shown) + (" …" if len(groups) > 3 else "")


def _grouped(things: Iterable[_Thing], key: Callable[[_Thing], Hashable]) -> list[_Group]:
    groups: dict[Hashable, _Group] = defaultdict(list)
    for thing in things:
        groups[key(thing)].append(thing)
    return list(groups.values())


class _Layout:
    """Which things share a row, so that as few as possible do."""

    def __init__(self, things: Sequence[_Thing]) -> None:
        self.detail_chars = 240 if len(things) <= FEW else 120
        self.newest_s = max(thing.event.at_s for thing in things)
        #: Whether all happened in the same minute, which is then said once, above the rows.
        self.is_one_minute = len({thing.event.at_s // 60 for thing in things}) == 1
        #: Rows written before, by the first delivery and the number of things.
        self._heads: dict[tuple[str, int], str] = {}
        self._places = {thing.line.delivery_id: number for number, thing in enumerate(things)}
        self.groups: list[_Group] = [[thing] for thing in things]
        if len(things) > LINES_LIMIT or not self._fits(self.groups, set()):
            self._fold(things)

    def _fold(self, things: Sequence[_Thing]) -> None:
        """Let things share rows until all rows fit: the least urgent and largest groups first.

        Then those for which there is room after all get their own rows again, the most urgent first.
        """
        alike = _share_groups(things)
        several = [group for group in alike if len(group) > 1]
        several.sort(key=lambda group: (urgency(group[0].event), -len(group)))
        folded: set[int] = set()
        count = len(things)
        for group in several:
            folded.add(id(group))
            count -= len(group) - 1
            if count <= LINES_LIMIT and self._fits(alike, folded):
                break
        for group in reversed([group for group in several if id(group) in folded]):
            longer = count + len(group) - 1
            if longer <= LINES_LIMIT and self._fits(alike, folded - {id(group)}):
                folded.remove(id(group))
                count = longer
        self._arrange(alike, folded)

    def _fits(self, alike: Sequence[_Group], folded: set[int]) -> bool:
        """Return whether the rows have room; at most `LINES_LIMIT` of them are asked about."""
        self._arrange(alike, folded)
        return sum(map(self._least_chars, self.groups)) <= ROWS_CHARS

    def _arrange(self, alike: Sequence[_Group], folded: set[int]) -> None:
        rows = (row for group in alike for row in ([group] if id(group) in folded else [[thing] for thing in group]))
        self.groups = sorted(rows, key=lambda row: self._places[row[0].line.delivery_id])

    def rows(self) -> tuple[list[str], int]:
        """Return as many rows as there is room for, and the room that is left."""
        shown, room = [], ROWS_CHARS
        for group in self.groups[:LINES_LIMIT]:
            if (chars := self._least_chars(group)) > room:
                break
            shown.append(group)
            room -= chars
        rows = []
        for group in shown:
            row = self._head(group)
            if len(group) > 1:
                least = self._least_chars(group) - units(row) - 1
                names = _list_names(sorted(group, key=lambda thing: thing.name), least + room)
                room -= units(names) + 3 - least
                row = f"{row} · {names}"
            rows.append(row)
        return rows, room

    def _least_chars(self, group: _Group) -> int:
        """Return the room that a row takes in any case; a shared one lists more names where there is more room."""
        chars = units(self._head(group)) + 1
        if len(group) == 1:
            return chars
        names = sum(units(code(thing.name, NAME)) + 2 for thing in group[: SHARED_CHARS // 4])
        return chars + 3 + min(names, SHARED_CHARS)

    def _head(self, group: _Group) -> str:
        key = group[0].line.delivery_id, len(group)
        if key not in self._heads:
            self._heads[key] = self._write_head(group)
        return self._heads[key]

    def _write_head(self, group: _Group) -> str:
        """Return the row of one thing, or the start of the row of many, which their names follow."""
        first = group[0]
        url = first.url if len({thing.url for thing in group}) == 1 else ""
        detail, name = first.reason, code(first.name, NAME)
        if len(group) > 1:
            name = f"× *{len(group):,}*"
            if len({thing.reason for thing in group}) > 1:
                detail = _mask(
                    first, [key for key in first.labels if len({thing.labels.get(key) for thing in group}) > 1]
                )
        all_times = [thing.event.at_s for thing in group]
        times = dict.fromkeys(at_s // 60 * 60 if len(group) > 1 else at_s for at_s in (min(all_times), max(all_times)))
        title = " ".join(filter(None, (first.emoji, link(url, bold(first.title, TITLE)), name)))
        text = " — ".join(filter(None, (title, line_ends(detail, self.detail_chars))))
        older = sum(thing.line.older_count for thing in group)
        failed = sum(thing.line.failed_count for thing in group)
        earlier = f"(+{older:,} earlier{f', {failed:,} failed' if failed else ''})" if older else ""
        when = () if self.is_one_minute else ("·", " – ".join(map(self.time, times)))
        return " ".join(filter(None, (text, earlier, *when)))

    def time(self, at_s: float) -> str:
        """Return a time; with its date if that may be another day."""
        return date(at_s, "{time}") if self.newest_s - at_s < HALF_A_DAY_S else date(at_s)


def _share_groups(things: Sequence[_Thing]) -> list[_Group]:
    """Group the things of one title whose reasons are the same, apart from the labels that distinguish them."""

    def look(thing: _Thing) -> tuple[str, str, str]:
        return thing.emoji, thing.event.entity.type, thing.title

    counts = Counter((*look(thing), thing.reason) for thing in things)

    def reason(thing: _Thing) -> str:
        is_common = counts[*look(thing), thing.reason] > 1
        return thing.reason if is_common else _mask(thing, thing.labels)

    return _grouped(things, lambda thing: (*look(thing), reason(thing)))


def _mask(thing: _Thing, keys: Iterable[str]) -> str:
    """Return the reason of a thing with an ellipsis in the place of these labels and of its id."""
    reason = thing.reason
    for value in sorted((thing.event.entity.id, *(thing.labels[key] for key in keys)), key=len, reverse=True):
        if len(value) > 2 and not value.isdigit():  # a number may be a measured one
            reason = reason.replace(value, "…")
    return reason


def _list_names(group: _Group, room: int, *, with_title: bool = False) -> str:
    """Return the names of things, as many as there is room for, each with its link as long as there is room."""
    labels = [
        " ".join(
            filter(None, (one_line(thing.title, 60) if with_title or not thing.name else "", code(thing.name, NAME)))
        )
        for thing in group[: max(room, 0) // 3]
    ]
    shown: list[str] = []
    room -= len(", … +10,000")
    for label in labels:
        if units(label) + 2 > room:
            break
        shown.append(label)
        room -= units(label) + 2
    is_one_page = len({thing.url for thing in group}) == 1 and not with_title
    for number, thing in enumerate(group[: len(shown)]):
        linked = shown[number] if is_one_page else link(thing.url, shown[number])
        if (more := units(linked) - units(shown[number])) <= room:
            shown[number] = linked
            room -= more
    rest = [f"… +{len(group) - len(shown):,}"] if len(shown) < len(group) else []
    return ", ".join([*shown, *rest])


def _count_hidden(hidden: Sequence[_Thing], list_url: str, room: int) -> str:
    """Count the things that have no row, by name or by kind, and name as many as there is room for."""
    kinds = {(thing.emoji, _kind_of(thing.event)) for thing in hidden}
    kind_of: Callable[[Event], str] = _kind_of if len(kinds) <= GROUPS_LIMIT else attrgetter("kind")
    listed = []
    for group in _grouped(hidden, lambda thing: (thing.emoji, kind_of(thing.event))):
        kind = kind_of(group[0].event)
        names = _list_names(group, room, with_title=any(one_line(thing.title, 60) != kind for thing in group))
        is_named = not names.startswith("…")
        room -= units(names) + 3 if is_named else 0
        listed.append(f"{group[0].emoji} {kind} × {len(group):,}" + (f" ({names})" if is_named else ""))
    return f"… and {link(list_url, f'*{len(hidden):,} more*')}: {', '.join(listed)}."


def _kind_of(event: Event) -> str:
    return one_line(event.entity.name if event.kind is Kind.ALERT else event.entity.type, 60) or str(event.kind)
