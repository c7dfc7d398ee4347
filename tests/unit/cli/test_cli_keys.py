"""`ik-slack keys`: a key is printed alone, so that a shell can read it."""

from support.cli import Shell

from config.settings import Settings
from worker.domain.integration import Secret
from worker.store.token_cipher import TokenCipher, generate_key


def test_a_key_is_printed_and_nothing_else(shell: Shell) -> None:
    ended = shell("keys", "generate")
    assert ended.code == 0
    assert ended.err == ""
    assert len(ended.out.splitlines()) == 1
    vault = TokenCipher(ended.out.strip())
    assert vault.decrypt(vault.encrypt(Secret("xoxb-1")), "acme") == Secret("xoxb-1")


def test_two_keys_differ(shell: Shell) -> None:
    assert shell("keys", "generate").out != shell("keys", "generate").out


def test_rotate_encrypts_tokens_with_the_first_key_so_that_the_old_key_can_go(shell: Shell) -> None:
    shell.connect("acme")
    new, old = shell("keys", "generate").out.strip(), Settings.load().encryption_key
    assert old is not None
    shell.env.setenv("ENCRYPTION_KEY", f"{new},{old.get_secret_value()}")
    ended = shell("keys", "rotate")
    assert (ended.code, ended.out) == (0, "Encrypted with the first key: acme.\n")
    shell.env.setenv("ENCRYPTION_KEY", new)
    assert shell("integrations", "test", "acme").code == 0
    assert shell("keys", "rotate").code == 0


def test_a_token_that_no_key_opens_is_named(shell: Shell) -> None:
    shell.connect("acme")
    shell.env.setenv("ENCRYPTION_KEY", shell("keys", "generate").out.strip())
    ended = shell("keys", "rotate")
    assert ended.code == 1
    assert "The token of integration acme cannot be decrypted" in ended.err


def test_no_token_to_encrypt_is_no_failure(shell: Shell) -> None:
    assert shell("keys", "rotate").out == "There is no integration yet.\n"


def test_a_value_encrypted_by_infrakitchen_is_decrypted_with_its_key() -> None:
    key = generate_key()
    encrypted = TokenCipher(key).encrypt(Secret("xoxb-1"))
    assert TokenCipher(key).decrypt(f"EncryptedSecretStr:{encrypted}", "acme") == Secret("xoxb-1")
