"""`ik-slack ledger`: a readable balance, and exit code 1 when it does not balance."""

from support.cli import UNREACHABLE_URL, Shell, deliver
from support.events import UNREADABLE_EVENT, failed_workflow

NAMES = (
    "accepted", "repeats_ignored", "rejected", "suppressed", "created", "delivered", "merged", "pending",
    "parked", "dead", "discarded", "repeated", "lost", "unaccounted",
)  # fmt: skip


def filled(shell: Shell) -> None:
    shell.connect()
    shell.subscribe("--to", "#ops", "--project", "shop")
    shell.subscribe("--to", "#lobby", "--project", "shop")
    deliver(shell, failed_workflow(), failed_workflow(), failed_workflow("other", project="blog"), UNREADABLE_EVENT)


def test_the_json_of_the_ledger_has_exactly_the_documented_keys(shell: Shell) -> None:
    filled(shell)
    ended = shell("ledger", "--json")
    assert ended.code == 0
    assert tuple(ended.json) == NAMES
    expected = {"accepted": 2, "repeats_ignored": 1, "rejected": 1, "suppressed": 1, "created": 2,
                "delivered": 1, "parked": 1}  # fmt: skip
    assert ended.json == dict.fromkeys(NAMES, 0) | expected


def test_the_text_shows_the_balance_and_the_commands_that_list_more(shell: Shell) -> None:
    filled(shell)
    ended = shell("ledger")
    assert ended.code == 0
    lines = {line.split("  ")[0]: line for line in ended.out.splitlines()}
    assert lines["parked"].endswith("1  action required: `ik-slack parked list`")
    assert lines["rejected"].endswith("`ik-slack dead-letters list`")
    assert lines["dead"].endswith("0  not retried automatically")
    assert lines["unaccounted"].endswith("0  ✓ everything is accounted for")


def test_an_unaccounted_delivery_exits_with_1(shell: Shell) -> None:
    filled(shell)
    shell.store(lambda app: app.redis.command("HINCRBY", app.redis.keys.named("ledger"), "delivered", 2))
    ended = shell("ledger")
    assert ended.code == 1
    assert "DOES NOT BALANCE" in ended.out
    assert ended.err.startswith("Error: The ledger does not balance: 2 events or deliveries unaccounted for.")
    asked = shell("ledger", "--json")
    assert (asked.code, asked.json["unaccounted"]) == (1, 2)


def test_the_ledger_needs_neither_encryption_key_nor_slack(shell: Shell) -> None:
    shell.env.delenv("ENCRYPTION_KEY")
    shell.env.setenv("SLACK_API_URL", UNREACHABLE_URL)
    assert shell("ledger", "--json").json == dict.fromkeys(NAMES, 0)


def test_redis_out_of_reach_is_one_line(shell: Shell) -> None:
    shell.env.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    ended = shell("ledger")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Error: Redis does not answer")
    assert ended.err.count("\n") == 1
