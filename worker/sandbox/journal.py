"""A file of messages, one JSON line a change, so that they outlive the sandbox that took them."""

import json
from dataclasses import asdict
from pathlib import Path

from worker.sandbox.state import Post


class Journal:
    """Messages by conversation id, as they were last written; a torn last line is left out."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def write(self, post: Post) -> None:
        """Append a message as it is now."""
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps(asdict(post)) + "\n")

    def read(self) -> dict[str, dict[str, Post]]:
        """Every message's latest state, by conversation id and `ts`."""
        found: dict[str, dict[str, Post]] = {}
        if self._path is None or not self._path.exists():
            return found
        for line in self._path.read_text().splitlines():
            try:
                post = Post(**json.loads(line))
            except (ValueError, TypeError):
                continue
            found.setdefault(post.channel, {})[post.ts] = post
        return found

    def clear(self) -> None:
        """Forget all of it."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
