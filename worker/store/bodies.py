"""Bodies of events as kept: long ones compressed, any of them byte for byte what came."""

import zlib

KeptBody = tuple[str, bytes]
"""The id of the entry that brought it, and the bytes of its field `event`."""

_WORTH_COMPRESSING = 1024


def pack(body: bytes) -> bytes:
    """As it is kept."""
    return b"z" + zlib.compress(body, 1) if len(body) > _WORTH_COMPRESSING else b"j" + body


def unpack(packed: bytes) -> bytes:
    """As it came."""
    return zlib.decompress(packed[1:]) if packed[:1] == b"z" else packed[1:]
