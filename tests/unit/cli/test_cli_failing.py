"""What a command says when it fails holds no token, whoever put it there."""

import json

import pytest
from cli_shell import Shell

from worker.bootstrap import Services

TOKEN = "xoxb-123456789012-abcDEF"


@pytest.mark.parametrize(
    "words",
    [
        ("integrations", "add", "ops", TOKEN),
        ("integrations", "add", f"--{TOKEN}"),
        ("integrations", "test", TOKEN),
        ("subscriptions", "add", "--to", "ops", "--min-severity", TOKEN),
        (TOKEN,),
    ],
)
def test_a_token_typed_in_the_wrong_place_is_not_repeated(shell: Shell, words: tuple[str, ...]) -> None:
    shell.connect()
    ended = shell(*words)
    assert ended.code in (1, 2)
    assert "xoxb-…" in ended.err
    assert TOKEN[5:] not in ended.err + ended.out


def test_a_fault_of_ours_is_told_whole_but_for_what_looks_like_a_token(shell: Shell) -> None:
    shell.connect()

    async def spoil(made: Services) -> None:
        kept = json.loads(await made.server.command("HGET", "ik:integrations", "acme"))
        spoilt = json.dumps({**kept, TOKEN: 1})
        await made.server.command("HSET", "ik:integrations", "acme", spoilt)

    shell.store(spoil)
    ended = shell("integrations", "list")
    assert ended.code == 1
    assert ended.err.startswith("Traceback (most recent call last):\n")
    assert ended.err.endswith("unexpected keyword argument 'xoxb-…'\n")
    assert TOKEN not in ended.err
