"""The vault: which keys it takes, which seals and which open."""

import base64

import pytest
from cryptography.fernet import Fernet, MultiFernet

from worker.domain.errors import Problem
from worker.domain.integration import Secret
from worker.store.vault import Vault, WrongKey, generate_key

TOKEN = Secret("xoxb-1-ü")


def plain_key() -> str:
    return Fernet.generate_key().decode()


def wrapped(key: str) -> str:
    return base64.b64encode(key.encode()).decode()


def test_a_sealed_token_is_opened_and_does_not_show():
    vault = Vault(generate_key())
    sealed = vault.seal(TOKEN)
    assert "xoxb" not in sealed
    assert vault.open(sealed, "ops") == TOKEN


def test_infrakitchens_own_form_of_a_key_and_the_plain_one_are_the_same_key():
    key = plain_key()
    assert Vault(wrapped(key)).open(Vault(key).seal(TOKEN), "ops") == TOKEN


def test_a_made_key_has_infrakitchens_form():
    assert Fernet(base64.b64decode(generate_key()))


def test_the_first_key_seals_and_every_key_opens():
    old, new = plain_key(), wrapped(plain_key())
    both = Vault(f" {new}, {old} ,")
    assert both.open(Vault(old).seal(TOKEN), "ops") == TOKEN
    sealed = both.seal(TOKEN)
    assert Vault(new).open(sealed, "ops") == TOKEN
    with pytest.raises(WrongKey):
        Vault(old).open(sealed, "ops")


def test_a_wrong_key_names_the_integration_and_the_mend_and_no_secret():
    sealed = Vault(generate_key()).seal(TOKEN)
    with pytest.raises(WrongKey, match=r"integration Ops cannot be opened.*Put that key back") as caught:
        Vault(generate_key()).open(sealed, "Ops")
    assert caught.value.__suppress_context__
    assert sealed not in str(caught.value)


@pytest.mark.parametrize("sealed", ["", "no token", "gAAAAA"])
def test_what_was_never_sealed_is_not_opened(sealed: str):
    with pytest.raises(WrongKey):
        Vault(generate_key()).open(sealed, "ops")


def test_sealed_bytes_that_are_no_text_are_not_opened():
    key = plain_key()
    sealed = MultiFernet([Fernet(key)]).encrypt(b"\xff").decode()
    with pytest.raises(WrongKey):
        Vault(key).open(sealed, "ops")


@pytest.mark.parametrize("ring", ["", " , ,"])
def test_without_a_key_it_says_how_to_make_one(ring: str):
    vault = Vault(ring)
    for step in (vault.require, lambda: vault.seal(TOKEN), lambda: vault.open("x", "ops")):
        with pytest.raises(WrongKey, match="ik-slack keys generate"):
            step()


@pytest.mark.parametrize("bad", ["secret", "ü", "x" * 44, wrapped("x" * 44), "aGVsbG8="])
def test_what_is_no_key_is_named_by_its_place_and_not_shown(bad: str):
    with pytest.raises(Problem, match=r"Key 2 of ENCRYPTION_KEY is not a Fernet key") as caught:
        Vault(f"{generate_key()},{bad}")
    assert bad not in str(caught.value)
