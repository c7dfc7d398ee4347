"""The token cipher: it encrypts tokens with the first key of ENCRYPTION_KEY and decrypts them with any of its keys."""

import base64
from hashlib import sha256

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from worker.domain.errors import UserError
from worker.domain.hints import Action, Hint, Step
from worker.domain.integration import Secret

#: What InfraKitchen writes in front of the values it encrypts itself, with the same kind of key.
INFRAKITCHEN_PREFIX = "EncryptedSecretStr:"
FERNET_CHARACTERS = 44  # 32 bytes in base64


class WrongKey(UserError):
    """No key of ENCRYPTION_KEY decrypts a token, or there is none."""


def generate_key() -> str:
    """Return a new key in InfraKitchen's own format: base64 of a Fernet key."""
    return base64.b64encode(Fernet.generate_key()).decode()


class TokenCipher:
    """The keys of ENCRYPTION_KEY: one or more, separated by commas."""

    def __init__(self, key_ring: str) -> None:
        parts = {number: key.strip() for number, key in enumerate(key_ring.split(","), 1) if key.strip()}
        keys = [_fernet(key, number) for number, key in parts.items()]
        self._keys = MultiFernet(keys) if keys else None
        #: Short hashes of the keys, separated by spaces; they identify a ring and reveal no key.
        self.fingerprint = " ".join(sha256(key.encode()).hexdigest()[:12] for key in parts.values())

    def require_keys(self) -> MultiFernet:
        """Return the keys. Raises `WrongKey` without any: only what uses tokens needs them."""
        if self._keys is None:
            raise WrongKey(
                "ENCRYPTION_KEY is not set, and tokens are encrypted with it.",
                Hint.of("To make a key, ", Step(Action.GENERATE_KEY), ", and set ENCRYPTION_KEY to it."),
            )
        return self._keys

    def encrypt(self, secret: Secret) -> str:
        """Return a token as it may be stored."""
        return self.require_keys().encrypt(secret.reveal().encode()).decode()

    def decrypt(self, encrypted: str, integration: str) -> Secret:
        """Return the token of `integration`. Raises `WrongKey` when no key decrypts it."""
        hint = Hint.of(
            "Put that key back (old keys go behind the new one, separated by a comma). If it is lost, "
            "paste the token again: ",
            Step(Action.ADD_INTEGRATION, integration),
            ".",
        )
        what = f"The token of integration {integration} cannot be decrypted with this ENCRYPTION_KEY."
        return self._decrypt(encrypted, WrongKey(what, hint))

    def open_sealed(self, sealed: Secret) -> Secret:
        """Return the token that InfraKitchen stores as `EncryptedSecretStr:…`. Raises `WrongKey` when no key does."""
        what = "The sealed token cannot be decrypted with this ENCRYPTION_KEY."
        hint = Hint.of(
            "Give the token as InfraKitchen stores it (EncryptedSecretStr:…), and put InfraKitchen's ENCRYPTION_KEY "
            "into this one (several keys are separated by commas)."
        )
        return self._decrypt(sealed.reveal(), WrongKey(what, hint))

    def _decrypt(self, encrypted: str, failure: WrongKey) -> Secret:
        keys = self.require_keys()
        try:
            return Secret(keys.decrypt(encrypted.removeprefix(INFRAKITCHEN_PREFIX).encode()).decode())
        except (InvalidToken, UnicodeDecodeError):
            raise failure from None


def _fernet(key: str, number: int) -> Fernet:
    """Return a key, plain or in base64 as InfraKitchen has it."""
    try:
        return Fernet(key if len(key) == FERNET_CHARACTERS else base64.b64decode(key, validate=True))
    except ValueError:
        raise UserError(
            f"Key {number} of ENCRYPTION_KEY is not a Fernet key, plain or in base64.",
            Hint.of("To make a key, ", Step(Action.GENERATE_KEY), "."),
        ) from None
