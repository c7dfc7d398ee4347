"""The report of a soak: memory, keys, and failed checks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from key_census import Census, Family, find_grown
from trend import Points, trend

from worker.store.ledger import Balance

#: Less than the smallest leak: one of Python's smallest objects, 16 bytes, for each of 50 events a second is
#: 2.9 MB an hour. Smaller growth is due to the allocator.
FLAT_MB_PER_HOUR = 2.0
MAX_MB = 120.0
WORKER_ROLES = ("ingest", "worker")


@dataclass(frozen=True, slots=True)
class SoakResult:
    """The measurements of a run."""

    lasted_s: float
    warm_s: float
    published: int
    balance: Balance
    max_waiting: float
    memory: Mapping[str, Points]
    #: Before the load, when judging starts, and at the end.
    censuses: Sequence[Census]
    faults: Sequence[str]


def report(result: SoakResult) -> bool:
    """Print the report and return whether every check passed."""
    before, warm, end = result.censuses
    lasted, judged = result.lasted_s / 60, result.warm_s / 60
    print(f"\n{result.published} events in {lasted:.1f} minutes; judged from minute {judged:.1f} on")
    print(f"at most {result.max_waiting:.0f} deliveries waiting; {result.balance}\n")
    faults = [*result.faults, *_memory(result)]
    print()
    _keys(before, warm, end)
    faults += [f"{name} grows: {_counted(warm.get(name))} → {_counted(end[name])}" for name in find_grown(warm, end)]
    print("\n" + "\n".join(f"FAILED: {fault}" for fault in faults) if faults else "\nAll checks passed.")
    return not faults


def _memory(result: SoakResult) -> list[str]:
    """Print the table of memory and return its faults."""
    faults = []
    print(f"{'memory, MB':<16}{'first':>8}{'judged':>8}{'last':>8}{'max':>8}{'an hour':>10}{'± noise':>9}")
    for name, points in result.memory.items():
        judged = [point for point in points if point[0] >= result.warm_s]
        if len(judged) < 3:
            faults.append(f"{name}: too short a run to judge")
            continue
        growth, max_mb = trend(judged), max(mb for _, mb in points)
        figures = f"{points[0][1]:8.1f}{judged[0][1]:8.1f}{points[-1][1]:8.1f}{max_mb:8.1f}"
        print(f"{name:<16}{figures}{growth.per_hour:+10.2f}{growth.noise:9.2f}")
        if not growth.is_flat(FLAT_MB_PER_HOUR):
            faults.append(f"{name} grows by {growth.per_hour:.2f} ± {growth.noise:.2f} MB an hour")
        if name in WORKER_ROLES and max_mb > MAX_MB:
            faults.append(f"{name} holds {max_mb:.0f} MB, more than {MAX_MB:.0f}")
    return faults


def _keys(before: Census, warm: Census, end: Census) -> None:
    """Print keys and elements before the load, when judging starts, and at the end."""
    filled, growing = set(find_grown(before, end)), set(find_grown(warm, end))
    print(f"{'keys':<44}{'kind':<8}{'before':>12}{'judged':>16}{'end':>16}{'kB':>8}  ends")
    for name in sorted({*before, *warm, *end}):
        counted = [_counted(census.get(name)) for census in (before, warm, end)]
        last = end.get(name) or warm.get(name) or before[name]
        print(
            f"{name:<44}{last.kind:<8}{counted[0]:>12}{counted[1]:>16}{counted[2]:>16}"
            f"{last.bytes / 1024:8.0f}  {_ends(last, name in filled, name in growing)}"
        )


def _ends(last: Family, filled: bool, grows: bool) -> str:
    """Describe what bounds a family: expiry or trimming."""
    if grows:
        return f"{last.ends}, and GROWS"
    return "trimmed" if filled and not last.ending else last.ends


def _counted(family: Family | None) -> str:
    if family is None or not family.keys:
        return "–"
    return f"{family.keys}" if family.kind == "string" else f"{family.keys} ({family.elements})"
