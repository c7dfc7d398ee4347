"""Settings of all tests: how many examples a property test tries, and which tests only `make thorough` runs."""

import pytest
from hypothesis import HealthCheck, settings
from support.examples import THOROUGH, examples

# A busy machine fails no property test: neither by the time of an example nor by the time to make it.
settings.register_profile(
    "house", max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked `thorough`, unless THOROUGH is set."""
    left_out = [] if THOROUGH else [item for item in items if item.get_closest_marker("thorough")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
