"""Redis keys: all have the prefix, and no two are equal."""

import re
from pathlib import Path

from worker.domain.delivery import event_ref
from worker.store.keys import Keys

KEYS = Keys("p")
ROOT = Path(__file__).parents[3]


def all_keys(keys: Keys) -> list[str]:
    lane = "ops/#alerts"
    parts = ("", "pending", "taken", "lease", "wake", "attempts")
    return [
        *(keys.lane(lane, part) for part in parts),
        keys.delivery("d"),
        keys.event("h.s")[0],
        keys.rejected("1-1"),
        keys.lanes_of_parked_integration("ops"),
        keys.integration("ops", "parked"),
        keys.pace("T1", "C1"),
        keys.closed("T1", "C1"),
        keys.version("integrations"),
        *keys.all_of_directory("ops"),
        keys.heartbeats("worker"),
        keys.lock("sweep"),
        keys.session("s"),
        keys.session("s", "tried"),
        keys.login("all"),
        keys.named("due"),
        keys.named("metrics"),
    ]


def test_every_key_has_the_prefix_so_two_installations_share_a_server():
    mine, theirs = all_keys(KEYS), all_keys(Keys("q"))
    assert all(key.startswith("p:") for key in mine)
    assert not set(mine) & set(theirs)
    assert len(set(mine)) == len(mine)
    assert Keys().prefix == "ik"


def test_every_redis_key_is_in_the_documented_table():
    listed = set(re.findall(r"`P:([a-z_]+)", (ROOT / "docs" / "redis.md").read_text()))
    assert {key.split(":")[1] for key in all_keys(KEYS)} <= listed


def test_the_key_of_an_event_is_found_by_its_id_alone():
    key, source = KEYS.event(event_ref("/ik", "e-1"))
    other, other_source = KEYS.event(event_ref("/other", "e-1"))
    assert key == other
    assert source != other_source
    assert re.fullmatch(r"p:event:[0-9a-f]{20}", key)
