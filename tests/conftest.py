"""Settings of all tests: `make quick` sets QUICK, which runs fewer examples of each property test."""

from hypothesis import HealthCheck, settings
from support.examples import examples

# A busy machine fails no property test: neither by the time of an example nor by the time to make it.
settings.register_profile(
    "house", max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")
