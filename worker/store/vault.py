"""The vault: tokens are sealed with a ring of Fernet keys; the first seals, every one opens."""

import base64

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from worker.domain.errors import Problem
from worker.domain.integration import Secret

INFRAKITCHENS = "EncryptedSecretStr:"
"""What InfraKitchen writes in front of the values it seals itself; its key opens them."""


class WrongKey(Problem):
    """No key of the ring opens a sealed token."""


def generate_key() -> str:
    """A new key in InfraKitchen's own format: base64 of a Fernet key."""
    return base64.b64encode(Fernet.generate_key()).decode()


class Vault:
    """Seals and opens. `ring` is ENCRYPTION_KEY: one or more keys, comma-separated."""

    def __init__(self, ring: str) -> None:
        keys = [_fernet(key.strip(), place) for place, key in enumerate(ring.split(","), 1) if key.strip()]
        self._ring = MultiFernet(keys) if keys else None

    def require(self) -> MultiFernet:
        """The ring; WrongKey without one. What needs no token (the ledger, say) needs no key either."""
        if self._ring is None:
            raise WrongKey(
                "ENCRYPTION_KEY is not set, and tokens are sealed with it: "
                "make one with `ik-slack keys generate` and set it."
            )
        return self._ring

    def seal(self, secret: Secret) -> str:
        """A token as it may be stored."""
        return self.require().encrypt(secret.reveal().encode()).decode()

    def open(self, sealed: str, whose: str) -> Secret:
        """The token of `whose`; WrongKey when the ring has no key for it."""
        ring = self.require()
        try:
            return Secret(ring.decrypt(sealed.removeprefix(INFRAKITCHENS).encode()).decode())
        except (InvalidToken, UnicodeDecodeError):
            raise WrongKey(
                f"The token of integration {whose} cannot be opened: ENCRYPTION_KEY is not the key it "
                f"was sealed with. Put that key back (old keys go behind the new one, separated by a comma), "
                f"or set the token anew with `ik-slack integrations add {whose}`."
            ) from None


def _fernet(key: str, place: int) -> Fernet:
    for candidate in (key.encode(), _unwrapped(key)):
        try:
            return Fernet(candidate)
        except ValueError:
            continue
    raise Problem(
        f"Key {place} of ENCRYPTION_KEY is not a Fernet key, plain or in base64: "
        "make one with `ik-slack keys generate`."
    )


def _unwrapped(key: str) -> bytes:
    try:
        return base64.b64decode(key, validate=True)
    except ValueError:
        return b""
