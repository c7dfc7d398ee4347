"""Data that an earlier version wrote into Redis, in `tests/samples/upgrade/`, and its restoration into a server.

Each file was written by that version's own code, on a clock that stood at `now_s` at the end. Values are JSON: the
content of each key by its type, with the rest of its lifetime.
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parents[1] / "samples" / "upgrade"


def load_stored_data(layout: int) -> dict[str, Any]:
    """Return the data that the last version of a layout wrote."""
    data: dict[str, Any] = json.loads((SAMPLES / f"layout-{layout}.json").read_text())
    return data


async def restore(redis: Any, keys: Mapping[str, Mapping[str, Any]]) -> None:
    """Write all keys into an empty server."""
    for key, stored in keys.items():
        await _write(redis, key, stored)
        if "ttl_ms" in stored:
            await redis.pexpire(key, stored["ttl_ms"])


async def _write(redis: Any, key: str, stored: Mapping[str, Any]) -> None:
    value = stored["value"]
    match stored["type"]:
        case "string":
            await redis.set(key, _raw(value))
        case "hash":
            await redis.hset(key, mapping={field: _raw(text) for field, text in value.items()})
        case "list":
            await redis.rpush(key, *map(_raw, value))
        case "set":
            await redis.sadd(key, *map(_raw, value))
        case "zset":
            await redis.zadd(key, value)
        case "stream":
            for id_, entry in value:
                await redis.xadd(key, {field: _raw(text) for field, text in entry.items()}, id=id_)
            for group in stored.get("groups", ()):
                await redis.xgroup_create(key, group["name"], group["last"])
                for id_, consumer in group["pending"]:
                    await redis.xclaim(key, group["name"], consumer, 0, [id_], force=True)


def _raw(text: str) -> bytes:
    encoded = text.removeprefix("base64:")
    return base64.b64decode(encoded) if encoded != text else text.encode()
