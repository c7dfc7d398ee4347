"""Many small runs in which everything goes wrong that can: no promise is broken in any.

A failing seed is printed with the command that runs it again; `make simulate` runs ten thousand.
"""

import os

import pytest
from mutants import MUTANTS
from real_server import compiler
from support.examples import THOROUGH
from survey import survey

SEEDS = int(os.environ.get("SEEDS") or (400 if THOROUGH else 50))
REAL = 15 if THOROUGH else 2  # they take three times as long
#: Faults that show themselves only after dozens of seeds.
FOUND_LATE = ("digest_forgotten", "no_claims", "no_sweep", "release_in_two_steps")
START = int(os.environ.get("START") or 1)


def test_no_seed_breaks_a_promise() -> None:
    report = survey(START, SEEDS)
    assert report.ran == SEEDS
    assert not report.failed, f"\n{report}"


def test_a_seed_gives_the_same_run_in_any_process() -> None:
    assert survey(START, 6, shares=1).traces == survey(START, 6, shares=2).traces


@pytest.mark.skipif(compiler() is None, reason="no C compiler makes a real server's clock")
def test_no_seed_breaks_a_promise_on_a_real_redis() -> None:
    report = survey(START, REAL, real=True)
    assert report.ran == REAL
    assert not report.failed, f"\n{report}"


@pytest.mark.parametrize(
    "mutant", [pytest.param(name, marks=[pytest.mark.thorough] if name in FOUND_LATE else []) for name in MUTANTS]
)
def test_a_planted_fault_is_found_within_500_seeds(mutant: str) -> None:
    report = survey(1, 500, mutant=mutant, first_only=True)
    assert report.failed, f"{mutant} was not found in {report.ran} seeds"
    assert "the run broke" not in str(report), "a fault that could not be planted is not found"
