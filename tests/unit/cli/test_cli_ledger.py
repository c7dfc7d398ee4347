"""The ledger: a balance a person understands, and 1 when it does not balance."""

from cli_shell import NOWHERE, Shell
from inspecting import BROKEN, event, told

NAMES = (
    "accepted", "repeats_ignored", "rejected", "suppressed", "created", "delivered", "merged", "pending",
    "parked", "dead", "discarded", "repeated", "unaccounted",
)  # fmt: skip


def filled(shell: Shell) -> None:
    shell.connect()
    shell.subscribe("--to", "#ops", "--project", "shop")
    shell.subscribe("--to", "#lobby", "--project", "shop")
    told(shell, event(), event(), event("other", project="blog"), BROKEN)


def test_json_has_every_name_and_no_other(shell: Shell) -> None:
    filled(shell)
    ended = shell("ledger", "--json")
    assert ended.code == 0
    assert tuple(ended.json) == NAMES
    expected = {"accepted": 2, "repeats_ignored": 1, "rejected": 1, "suppressed": 1, "created": 2,
                "delivered": 1, "parked": 1}  # fmt: skip
    assert ended.json == dict.fromkeys(NAMES, 0) | expected


def test_people_read_a_balance_with_where_to_look(shell: Shell) -> None:
    filled(shell)
    ended = shell("ledger")
    assert ended.code == 0
    lines = {line.split("  ")[0]: line for line in ended.out.splitlines()}
    assert lines["parked"].endswith("1  wait for a person: `ik-slack parked list`")
    assert lines["rejected"].endswith("`ik-slack dead-letters list --reason unreadable`")
    assert lines["dead"].endswith("0  nobody tries again")
    assert lines["unaccounted"].endswith("0  ✓ everything is accounted for")


def test_what_is_unaccounted_for_is_loud(shell: Shell) -> None:
    filled(shell)
    shell.store(lambda made: made.server.command("HINCRBY", made.server.keys.named("ledger"), "delivered", 2))
    ended = shell("ledger")
    assert ended.code == 1
    assert "DOES NOT BALANCE" in ended.out
    assert ended.err.startswith("Error: The ledger does not balance: 2 events or deliveries unaccounted for.")
    asked = shell("ledger", "--json")
    assert (asked.code, asked.json["unaccounted"]) == (1, 2)


def test_neither_a_key_nor_slack_is_needed(shell: Shell) -> None:
    shell.env.delenv("ENCRYPTION_KEY")
    shell.env.setenv("SLACK_API_URL", NOWHERE)
    assert shell("ledger", "--json").json == dict.fromkeys(NAMES, 0)


def test_redis_out_of_reach_is_one_line(shell: Shell) -> None:
    shell.env.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    ended = shell("ledger")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Error: Redis does not answer")
    assert ended.err.count("\n") == 1
