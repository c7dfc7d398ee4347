"""A key is printed alone, so that a shell can take it."""

from cli_shell import Shell

from config.settings import Settings
from worker.domain.integration import Secret
from worker.store.vault import Vault, generate_key


def test_a_key_is_printed_and_nothing_else(shell: Shell) -> None:
    ended = shell("keys", "generate")
    assert ended.code == 0
    assert ended.err == ""
    assert len(ended.out.splitlines()) == 1
    vault = Vault(ended.out.strip())
    assert vault.open(vault.seal(Secret("xoxb-1")), "acme") == Secret("xoxb-1")


def test_two_keys_differ(shell: Shell) -> None:
    assert shell("keys", "generate").out != shell("keys", "generate").out


def test_tokens_are_sealed_anew_with_the_first_key_and_the_old_one_may_go(shell: Shell) -> None:
    shell.connect("acme")
    new, old = shell("keys", "generate").out.strip(), Settings.load().encryption_key
    assert old is not None
    shell.env.setenv("ENCRYPTION_KEY", f"{new},{old.get_secret_value()}")
    ended = shell("keys", "rotate")
    assert (ended.code, ended.out) == (0, "Sealed with the first key: acme.\n")
    shell.env.setenv("ENCRYPTION_KEY", new)
    assert shell("integrations", "test", "acme").code == 0
    assert shell("keys", "rotate").code == 0


def test_a_token_that_no_key_opens_is_named(shell: Shell) -> None:
    shell.connect("acme")
    shell.env.setenv("ENCRYPTION_KEY", shell("keys", "generate").out.strip())
    ended = shell("keys", "rotate")
    assert ended.code == 1
    assert "The token of integration acme cannot be opened" in ended.err


def test_nothing_to_seal_is_no_failure(shell: Shell) -> None:
    assert shell("keys", "rotate").out == "There is no integration yet.\n"


def test_a_value_that_infrakitchen_sealed_is_opened_with_its_key() -> None:
    key = generate_key()
    sealed = Vault(key).seal(Secret("xoxb-1"))
    assert Vault(key).open(f"EncryptedSecretStr:{sealed}", "acme") == Secret("xoxb-1")
