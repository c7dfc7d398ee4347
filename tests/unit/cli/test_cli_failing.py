"""What a command says when it fails holds no token, whoever put it there."""

import json

import click
import pytest
from cli_shell import Shell
from redis.exceptions import ResponseError

from worker.bootstrap import Services
from worker.cli.failing import told_in_one_line

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


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.",
         "Redis has no memory left (…). Raise its maxmemory (`CONFIG SET maxmemory"),
        ("READONLY You can't write against a read only replica.",
         "Redis is a replica, which takes no writes (…). Set REDIS_URL to the one it follows"),
        ("LOADING Redis is loading the dataset in memory",
         "Redis is reading its files (…). Wait: it answers when it has read them."),
        ("BUSY Redis is busy running a script.",
         "Redis is held up by a script of somebody's (…). Wait, or end that script"),
        ("MISCONF Errors writing to the AOF file: No space left on device",
         "Redis cannot write to its disk (…). Make room on its disk, and see its log."),
        ("Connection closed by server.", "Redis does not answer (…). Start it, or correct REDIS_URL."),
    ],
)  # fmt: skip
def test_what_redis_refuses_is_one_line_with_the_mend(
    said: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def command() -> None:
        raise ResponseError(said)

    assert told_in_one_line(command, []) == 1
    written = capsys.readouterr().err
    assert written.startswith("Error: " + line.replace("…", said))
    assert written.count("\n") == 1
