"""Settings of all tests: `make quick` sets QUICK, which runs fewer examples of each property test."""

from hypothesis import settings
from support.examples import QUICK, examples

settings.register_profile("quick", max_examples=examples(100))
if QUICK:
    settings.load_profile("quick")
