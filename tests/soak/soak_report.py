"""What a soak found: memory, keys, and the promises that held or did not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from key_census import Census, Family, grown
from trend import Points, trend

from worker.store.ledger import Balance

FLAT_MB_PER_HOUR = 2.0
"""Below the least that can leak: one of Python's smallest objects, 16 bytes, for each of 50 events a
second is 2.9 MB an hour. What is less is the allocator, which still finds its level."""

MOST_MB = 120.0
OURS = ("ingest", "worker")


@dataclass(frozen=True, slots=True)
class Soaked:
    """Everything a run has seen. `censuses` are those before the load, once it is judged, and at its end."""

    lasted_s: float
    warm_s: float
    published: int
    balance: Balance
    most_waiting: float
    memory: Mapping[str, Points]
    censuses: Sequence[Census]
    faults: Sequence[str]


def report(soaked: Soaked) -> bool:
    """Print it: whether every promise held."""
    before, warm, end = soaked.censuses
    lasted, judged = soaked.lasted_s / 60, soaked.warm_s / 60
    print(f"\n{soaked.published} events in {lasted:.1f} minutes; judged from minute {judged:.1f} on")
    print(f"never more than {soaked.most_waiting:.0f} waiting; {soaked.balance}\n")
    faults = [*soaked.faults, *_memory(soaked)]
    print()
    _keys(before, warm, end)
    faults += [
        f"{name} grows: {_counted(warm.get(name))} → {_counted(end[name])}" for name in grown(warm, end)
    ]
    print("\n" + "\n".join(f"NOT HELD: {fault}" for fault in faults) if faults else "\nEvery promise held.")
    return not faults


def _memory(soaked: Soaked) -> list[str]:
    """The table, and what is wrong in it."""
    faults = []
    print(f"{'memory, MB':<16}{'first':>8}{'judged':>8}{'last':>8}{'most':>8}{'an hour':>10}{'± noise':>9}")
    for name, points in soaked.memory.items():
        judged = [point for point in points if point[0] >= soaked.warm_s]
        if len(judged) < 3:
            faults.append(f"{name}: too short a run to judge")
            continue
        grows, most = trend(judged), max(mb for _, mb in points)
        figures = f"{points[0][1]:8.1f}{judged[0][1]:8.1f}{points[-1][1]:8.1f}{most:8.1f}"
        print(f"{name:<16}{figures}{grows.per_hour:+10.2f}{grows.noise:9.2f}")
        if not grows.is_flat(FLAT_MB_PER_HOUR):
            faults.append(f"{name} grows by {grows.per_hour:.2f} ± {grows.noise:.2f} MB an hour")
        if name in OURS and most > MOST_MB:
            faults.append(f"{name} holds {most:.0f} MB, more than {MOST_MB:.0f}")
    return faults


def _keys(before: Census, warm: Census, end: Census) -> None:
    """Keys (and what is in them) before, when judging began, and at the end."""
    filled, growing = set(grown(before, end)), set(grown(warm, end))
    print(f"{'keys':<44}{'kind':<8}{'before':>12}{'judged':>16}{'end':>16}{'kB':>8}  ends")
    for name in sorted({*before, *warm, *end}):
        counted = [_counted(census.get(name)) for census in (before, warm, end)]
        last = end.get(name) or warm.get(name) or before[name]
        print(
            f"{name:<44}{last.kind:<8}{counted[0]:>12}{counted[1]:>16}{counted[2]:>16}"
            f"{last.bytes / 1024:8.0f}  {_ends(last, name in filled, name in growing)}"
        )


def _ends(last: Family, filled: bool, grows: bool) -> str:
    """Why a family does not grow for ever: by its time, or because somebody trims it."""
    if grows:
        return f"{last.ends}, and GROWS"
    return "trimmed" if filled and not last.ending else last.ends


def _counted(one: Family | None) -> str:
    if one is None or not one.keys:
        return "–"
    return f"{one.keys}" if one.kind == "string" else f"{one.keys} ({one.elements})"
