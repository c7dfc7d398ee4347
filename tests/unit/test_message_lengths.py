"""Messages for people are short: under 300 characters with their fix, the likely cause first."""

import ast
from pathlib import Path

import pytest

import worker
from worker.domain.errors import format_hint
from worker.domain.hints import DEAD_LETTER_HINTS
from worker.slack.error_codes import ERROR_CODES
from worker.store.redis_errors import RedisFailure

MAX_LENGTH = 300
PLACEHOLDER = "x" * 12
ROOT = Path(worker.__file__).parent
MESSAGES = (
    "UserError", "UsageError", "NotFound", "WrongKey", "RequestError", "SettingsError", "Unreachable", "Problem",
    "Finding", "BadParameter", "ValueError",
)  # fmt: skip
PARTS = ("of", "Step", "Code")


def fill(text: str) -> str:
    """Return a text with names in place of its placeholders."""
    text = text.replace("{needed}", "users:read.email")
    return format_hint(text, integration="production", bot="infrakitchen", channel="#team-payments")


def describe(node: ast.AST) -> str:
    """Return the text of an expression, with a placeholder for each value."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(map(describe, values))
        case ast.BinOp(left=left, right=right):
            return describe(left) + describe(right)
        case ast.Call(args=arguments, func=function) if name_of(function) in PARTS:
            return "".join(map(describe, arguments))
        case _:
            return PLACEHOLDER


def name_of(function: ast.AST) -> str:
    return getattr(function, "id", getattr(function, "attr", ""))


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_message_of_every_error_is_short(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    messages = [
        (call.lineno, text)
        for call in calls
        if name_of(call.func) in MESSAGES and len(text := " ".join(map(describe, call.args))) >= MAX_LENGTH
    ]
    assert messages == []


@pytest.mark.parametrize("code", ERROR_CODES, ids=lambda code: code.code)
def test_the_reason_and_fix_of_every_code_of_slack_are_short(code: object) -> None:
    assert len(fill(f"{code.reason}. {code.hint}")) < MAX_LENGTH


def test_fixes_of_dead_letters_and_causes_of_redis_are_short() -> None:
    assert [hint for hint in DEAD_LETTER_HINTS.values() if len(str(hint)) >= MAX_LENGTH] == []
    assert [it for it in RedisFailure if len(f"Error: {it.reason}. {it.fix}") >= MAX_LENGTH] == []
