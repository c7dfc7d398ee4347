"""A key is printed alone, so that a shell can take it."""

from cli_shell import Shell

from worker.domain.integration import Secret
from worker.store.vault import Vault


def test_a_key_is_printed_and_nothing_else(shell: Shell) -> None:
    ended = shell("keys", "generate")
    assert ended.code == 0
    assert ended.err == ""
    assert len(ended.out.splitlines()) == 1
    vault = Vault(ended.out.strip())
    assert vault.open(vault.seal(Secret("xoxb-1")), "acme") == Secret("xoxb-1")


def test_two_keys_differ(shell: Shell) -> None:
    assert shell("keys", "generate").out != shell("keys", "generate").out
