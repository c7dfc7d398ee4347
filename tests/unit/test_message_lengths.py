"""Messages for people are short: under 300 characters with their fix, the likely cause first."""

import ast
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

import worker
from config.settings import Settings, SettingsError
from worker.domain.errors import CHANNEL_MAX, Scope, TemplateError, format_hint
from worker.domain.hints import DEAD_LETTER_HINTS, MESSAGE_FAULTS, dead_letter_hint
from worker.domain.integration import Conversation
from worker.domain.mrkdwn import cut
from worker.domain.subscription import Subscription
from worker.services.diagnostics import CORRECT_TEMPLATE
from worker.services.lanes import lead_on
from worker.slack.error_codes import ERROR_CODES, ErrorCode
from worker.store.redis_errors import RedisFailure, StoreUnavailable

MAX_LENGTH = 300
PLACEHOLDER = "x" * 12
ROOT = Path(worker.__file__).parent
MESSAGES = (
    "UserError", "UsageError", "NotFound", "WrongKey", "RequestError", "SettingsError", "Unreachable", "Problem",
    "Finding", "BadParameter", "ValueError",
)  # fmt: skip
PARTS = ("of", "Step", "Code")


CHANNEL = "#" + "a-channel-name-" * 5 + "of-8"
PERSON = "firstname.lastname@a-subsidiary.of-a-company.example.com"
INTEGRATION, BOT = "production-eu-west-1", "infrakitchen"
DETAIL = "what another program says " * 40


def fill(text: str) -> str:
    """Return a text with long names in place of its placeholders."""
    text = text.replace("{needed}", "users:read.email")
    return format_hint(text, integration=INTEGRATION, bot=BOT, channel=CHANNEL)


def too_long(texts: Iterable[object]) -> dict[int, str]:
    return {len(text): text for text in map(str, texts) if len(text) >= MAX_LENGTH}


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


def test_the_reason_and_fix_of_every_code_of_slack_are_short() -> None:
    assert too_long(fill(f"Error: Not saved: {row.reason}. {row.hint}") for row in ERROR_CODES) == {}


def test_fixes_of_dead_letters_and_causes_of_redis_are_short() -> None:
    assert too_long(DEAD_LETTER_HINTS.values()) == {}
    assert too_long(dead_letter_hint(reason, "0123456789abcdef0123") for reason in MESSAGE_FAULTS) == {}
    failures = [StoreUnavailable(failure, DETAIL) for failure in RedisFailure]
    assert too_long(f"Error: {it.failure.reason} ({it}). {it.failure.fix}" for it in failures) == {}


def test_the_error_of_a_template_and_its_fix_are_short() -> None:
    assert too_long([f"sub-0123abcd: template: failed: {TemplateError(DETAIL, 123)}. {CORRECT_TEMPLATE}"]) == {}


@pytest.mark.parametrize("field", Settings.model_fields)
@pytest.mark.parametrize("value", ["x" * 3_000, "\n", "-1", "rediss://:p@ss/#[x", "http://x y", "socks5://h:0"])
def test_the_error_of_a_setting_is_short(field: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(field.upper(), value)
    lines: list[str] = []
    try:
        Settings.load()
    except SettingsError as error:
        lines = str(error).splitlines()
    assert too_long(f"Error: {line}" for line in lines) == {}


@pytest.mark.parametrize("row", [row for row in ERROR_CODES if row.decision is Scope.LANE], ids=lambda row: row.code)
@pytest.mark.parametrize("similar", [[], ["of-9"], ["of-7", "of-9"]], ids=len)
async def test_the_reason_and_hint_of_a_parked_lane_are_short(row: ErrorCode, similar: list[str]) -> None:
    async def list_channels(_integration_id: str) -> list[Conversation]:
        return [Conversation(f"C0123ABCD{place}", f"{CHANNEL[1:-4]}{end}") for place, end in enumerate(similar)]

    subscription = Subscription("sub-0123abcd", "default", CHANNEL)
    app = SimpleNamespace(directory=SimpleNamespace(list_channels=list_channels))
    hint = await lead_on(app, subscription.lane, row.code, row.hint.map(fill), [subscription])  # type: ignore[arg-type]
    assert "ik-slack subscriptions move sub-0123abcd" in str(hint) or row.code == "not_in_channel"
    assert "  " not in str(hint)
    warning = f"Warning: Deliveries to {cut(CHANNEL, CHANNEL_MAX)} wait: {fill(row.reason)}. {row.hint.map(fill)}"
    assert too_long([f"{fill(row.reason)}. {hint}", warning]) == {}
