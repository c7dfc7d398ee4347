"""The token cipher: valid keys, the key that encrypts, and the keys that decrypt."""

import base64

import pytest
from cryptography.fernet import Fernet, MultiFernet

from worker.domain.errors import UserError
from worker.domain.integration import Secret
from worker.store.token_cipher import TokenCipher, WrongKey, generate_key

TOKEN = Secret("xoxb-1-ü")


def plain_key() -> str:
    return Fernet.generate_key().decode()


def wrapped(key: str) -> str:
    return base64.b64encode(key.encode()).decode()


def test_an_encrypted_token_is_decrypted_and_not_readable():
    vault = TokenCipher(generate_key())
    sealed = vault.encrypt(TOKEN)
    assert "xoxb" not in sealed
    assert vault.decrypt(sealed, "ops") == TOKEN


def test_infrakitchens_form_of_a_key_and_the_plain_form_are_the_same_key():
    key = plain_key()
    assert TokenCipher(wrapped(key)).decrypt(TokenCipher(key).encrypt(TOKEN), "ops") == TOKEN


def test_a_generated_key_has_infrakitchens_form():
    assert Fernet(base64.b64decode(generate_key()))


def test_the_first_key_encrypts_and_every_key_decrypts():
    old, new = plain_key(), wrapped(plain_key())
    both = TokenCipher(f" {new}, {old} ,")
    assert both.decrypt(TokenCipher(old).encrypt(TOKEN), "ops") == TOKEN
    sealed = both.encrypt(TOKEN)
    assert TokenCipher(new).decrypt(sealed, "ops") == TOKEN
    with pytest.raises(WrongKey):
        TokenCipher(old).decrypt(sealed, "ops")


def test_the_error_of_a_wrong_key_has_the_integration_and_the_fix_and_no_secret():
    sealed = TokenCipher(generate_key()).encrypt(TOKEN)
    with pytest.raises(WrongKey, match=r"integration Ops cannot be decrypted.*Put that key back") as caught:
        TokenCipher(generate_key()).decrypt(sealed, "Ops")
    assert caught.value.__suppress_context__
    assert sealed not in str(caught.value)


@pytest.mark.parametrize("sealed", ["", "no token", "gAAAAA"])
def test_bytes_that_were_never_encrypted_are_a_wrong_key(sealed: str):
    with pytest.raises(WrongKey):
        TokenCipher(generate_key()).decrypt(sealed, "ops")


def test_encrypted_bytes_that_are_not_text_are_a_wrong_key():
    key = plain_key()
    sealed = MultiFernet([Fernet(key)]).encrypt(b"\xff").decode()
    with pytest.raises(WrongKey):
        TokenCipher(key).decrypt(sealed, "ops")


@pytest.mark.parametrize("ring", ["", " , ,"])
def test_without_a_key_the_error_names_the_command_that_makes_one(ring: str):
    vault = TokenCipher(ring)
    for step in (vault.require_keys, lambda: vault.encrypt(TOKEN), lambda: vault.decrypt("x", "ops")):
        with pytest.raises(WrongKey, match="ik-slack keys generate"):
            step()


@pytest.mark.parametrize("bad", ["secret", "ü", "x" * 44, wrapped("x" * 44), "aGVsbG8="])
def test_an_invalid_key_is_named_by_its_position_and_not_shown(bad: str):
    with pytest.raises(UserError, match=r"Key 2 of ENCRYPTION_KEY is not a Fernet key") as caught:
        TokenCipher(f"{generate_key()},{bad}")
    assert bad not in str(caught.value)


def test_a_token_that_infrakitchen_stores_is_opened_with_its_key_alone():
    key = generate_key()
    sealed = Secret(f"EncryptedSecretStr:{TokenCipher(key).encrypt(TOKEN)}")
    assert TokenCipher(f"{generate_key()},{key}").open_sealed(sealed) == TOKEN
    with pytest.raises(WrongKey, match="sealed token"):
        TokenCipher(generate_key()).open_sealed(sealed)
