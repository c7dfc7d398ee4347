"""A form as a browser sends it: fields of text, bounded, and never shown again by themselves."""

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from worker.domain.integration import Secret

MOST_BYTES, MOST_FIELDS = 128 * 1024, 500
TYPE = "application/x-www-form-urlencoded"


class Form:
    """What was filled in. Surrounding space is nobody's intention; a field that is absent is empty."""

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        self._fields = fields

    @classmethod
    def read(cls, body: bytes) -> "Form":
        """From a request's body; ValueError when it is none."""
        fields: dict[str, list[str]] = {}
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
        for name, value in pairs:
            fields.setdefault(name, []).append(value.replace("\r\n", "\n"))
        return cls(fields)

    def text(self, name: str, longest: int = 500) -> str:
        """One field; what is too long is cut, which the field's own `maxlength` says first."""
        return self._fields.get(name, [""])[0].strip()[:longest]

    def several(self, name: str) -> tuple[str, ...]:
        """All values of a field, empty ones apart."""
        return tuple(filter(None, (value.strip() for value in self._fields.get(name, ()))))

    def checked(self, name: str) -> bool:
        """Whether a box was ticked."""
        return bool(self.text(name))

    def secret(self, name: str) -> Secret | None:
        """A field that is never shown: a password, a token."""
        value = self.text(name, 4_000)
        return Secret(value) if value else None
