"""Errors of a command: the exit code, and one line without any token."""

import json

import click
import pytest
from support.cli import Shell

from worker.bootstrap.context import AppContext
from worker.cli import run_cli
from worker.store.redis_errors import RedisFailure, StoreUnavailable

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


def test_an_internal_error_has_a_traceback_without_anything_like_a_token(shell: Shell) -> None:
    shell.connect()

    async def spoil(app: AppContext) -> None:
        kept = json.loads(await app.redis.command("HGET", "ik:integrations", "acme"))
        spoilt = json.dumps({**kept, TOKEN: 1})
        await app.redis.command("HSET", "ik:integrations", "acme", spoilt)

    shell.store(spoil)
    ended = shell("integrations", "list")
    assert ended.code == 1
    assert ended.err.startswith("Traceback (most recent call last):\n")
    assert ended.err.endswith("unexpected keyword argument 'xoxb-…'\n")
    assert TOKEN not in ended.err


@pytest.mark.parametrize("failure", RedisFailure)
def test_an_error_of_redis_is_one_line_with_the_fix(failure: RedisFailure, capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def command() -> None:
        raise StoreUnavailable(failure, "its own words")

    assert run_cli(command, []) == 1
    assert capsys.readouterr() == ("", f"Error: {failure.reason} (its own words). {failure.fix}\n")
