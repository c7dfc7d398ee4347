"""Subscriptions: written in options or in a file, accepted even where nothing can be posted yet."""

import json

import pytest
import yaml
from cli_shell import NOWHERE, Shell

from worker.bootstrap import Services
from worker.store.held import Entry


def test_a_subscription_has_an_id_and_all_it_was_given(connected: Shell) -> None:
    words = (
        "--to", "Ops", "--kind", "workflow", "--kind", "alert", "--entity-type", "workflow",
        "--entity-id", "7", "--name", "prod-*", "--project", "shop", "--status", "error",
        "--min-severity", "error", "--label", "team=core", "--mention", "<!here> <@U0123456789>",
        "--mention-from", "error", "--style", "plain",
    )  # fmt: skip
    ended = connected("subscriptions", "add", *words, "--json")
    assert ended.code == 0
    made = ended.json
    assert made.pop("id").startswith("sub-")
    assert made == {
        "integration": "acme", "destination": "#ops", "kind": ["alert", "workflow"],
        "entity_type": ["workflow"], "entity_id": ["7"], "name": ["prod-*"], "project": ["shop"],
        "status": ["error"], "min_severity": "error", "label": ["team=core"], "paused": False,
        "mention": "<!here> <@U0123456789>", "mention_from": "error", "style": "plain",
        "template": "", "broadcast": False, "only_changes": False, "inhibit_resources": False,
        "muted_until": "", "quiet_hours": "",
        "time_zone": "", "quiet_below": "critical",
    }  # fmt: skip
    assert connected("subscriptions", "list", "--json").json[0].items() > made.items()


def test_a_destination_that_can_be_posted_to_is_pinned(connected: Shell) -> None:
    ended = connected("subscriptions", "add", "--to", "#ops")
    assert ended.err == ""
    shown = connected("subscriptions", "list", "--json").json[0]["id"]
    channel = connected.acme.channel("ops").id
    assert connected("subscriptions", "show", shown, "--json").json["address"] == channel
    assert f"#ops ({channel})" in connected("subscriptions", "show", shown).out


@pytest.mark.parametrize(
    ("destination", "step"),
    [
        ("lobby", "Type `/invite @infrakitchen` in #lobby."),
        ("nowhere", "correct the subscription's destination"),
        ("eve@example.com", "invite eve@example.com to the workspace"),
        ("C0000000000", "correct the subscription's destination"),
    ],
)
def test_one_that_cannot_is_accepted_with_the_step_on_stderr(
    connected: Shell, destination: str, step: str
) -> None:
    ended = connected("subscriptions", "add", "--to", destination)
    assert ended.code == 0
    assert ended.err.startswith("Warning: ")
    assert step in ended.err
    assert len(connected("subscriptions", "list", "--json").json) == 1


def test_slack_out_of_reach_is_a_warning_too(connected: Shell) -> None:
    connected.env.setenv("SLACK_API_URL", NOWHERE)
    ended = connected("subscriptions", "add", "--to", "ops")
    assert ended.code == 0
    assert "Slack could not be reached" in ended.err


def test_a_slow_slack_is_not_waited_for(connected: Shell) -> None:
    connected.slack.latency_s = 1.0
    connected.env.setattr("worker.asking.reaching.BUDGET_S", 0.1)
    ended = connected("subscriptions", "add", "--to", "ops")
    assert ended.code == 0
    assert "It is not known yet (the channels of the workspace are being read)" in ended.err
    connected.slack.latency_s = 0.0
    assert connected("channels", "refresh").err.startswith("Page 1")


def test_a_disabled_integration_is_a_warning_too(connected: Shell) -> None:
    connected("integrations", "disable", "acme")
    assert "integrations enable acme" in connected("subscriptions", "add", "--to", "ops").err


@pytest.mark.parametrize(
    "words",
    [
        ("--to", "@ada"),
        ("--to", ""),
        ("--to", "two words"),
        ("--to", "ops", "--kind", "foo"),
        ("--to", "ops", "--min-severity", "bad"),
        ("--to", "ops", "--style", "loud"),
        ("--to", "ops", "--label", "core"),
        ("--to", "ops", "--mention", "@here"),
        ("--to", "ops", "--status", ""),
        (),
    ],
)
def test_what_cannot_be_meant_is_wrong_use(connected: Shell, words: tuple[str, ...]) -> None:
    ended = connected("subscriptions", "add", *words)
    assert ended.code == 2
    assert connected("subscriptions", "list", "--json").json == []


def test_a_wrong_destination_is_answered_with_the_forms(connected: Shell) -> None:
    assert "someone@example.com" in connected("subscriptions", "add", "--to", "@ada").err


def test_the_same_again_is_the_same_subscription(connected: Shell) -> None:
    first = connected.subscribe("--to", "ops", "--kind", "alert", "--kind", "other")
    again = connected("subscriptions", "add", "--to", "#OPS", "--kind", "other", "--kind", "alert", "--json")
    assert again.code == 0
    assert again.json["id"] == first
    assert len(connected("subscriptions", "list", "--json").json) == 1


def test_the_same_events_told_otherwise_are_another_one_with_a_warning(connected: Shell) -> None:
    first = connected.subscribe("--to", "ops")
    ended = connected("subscriptions", "add", "--to", "ops", "--mention", "<!here>", "--json")
    assert ended.json["id"] != first
    assert f"{first} sends the same events" in ended.err


def test_with_several_integrations_one_must_be_named(connected: Shell) -> None:
    connected.connect("second")
    assert connected("subscriptions", "add", "--to", "ops").code == 2
    ended = connected("subscriptions", "add", "--to", "ops", "--integration", "second", "--json")
    assert ended.json["integration"] == "second"
    assert connected("subscriptions", "add", "--to", "ops", "--integration", "third").code == 1


def test_the_list_says_which_events_go_where(connected: Shell) -> None:
    assert "No subscription yet" in connected("subscriptions", "list").out
    connected.subscribe("--to", "ops", "--kind", "alert", "--min-severity", "error", "--mention", "<!here>")
    listed = connected("subscriptions", "list").out
    assert "kind alert, severity error or worse" in listed
    assert "mentions <!here> from critical" in listed


def test_a_test_message_goes_where_the_subscription_sends(connected: Shell) -> None:
    subscription = connected.subscribe("--to", "ops", "--mention", "<!here>")
    ended = connected("subscriptions", "test", subscription)
    assert ended.code == 0
    [message] = connected.slack.messages("ops")
    assert "This is a test" in message["text"]
    assert "<!here>" not in json.dumps(message)
    assert f"Posted to #ops in Acme: {connected.slack.url}archives/{message['channel']}/p" in ended.out


def test_a_test_message_reaches_a_person(connected: Shell) -> None:
    subscription = connected.subscribe("--to", "ada@example.com")
    told = connected("subscriptions", "test", subscription, "--json").json
    [message] = connected.slack.messages("ada@example.com")
    assert (told["channel"], told["ts"]) == (message["channel"], message["ts"])


def test_a_test_that_cannot_be_posted_says_the_step(connected: Shell) -> None:
    subscription = connected.subscribe("--to", "lobby")
    ended = connected("subscriptions", "test", subscription)
    assert (ended.code, ended.out) == (1, "")
    assert "Type `/invite @infrakitchen` in #lobby." in ended.err


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("ratelimited", "asks to wait 1 s"),
        ("internal_error", "an error of its own; the message may be there all the same. Look"),
        ("invalid_blocks", "does not take"),
    ],
)
def test_a_test_that_slack_refuses_is_one_line(connected: Shell, fault: str, reason: str) -> None:
    subscription = connected.subscribe("--to", "ops")
    connected.slack.fault(fault)
    ended = connected("subscriptions", "test", subscription)
    assert ended.code == 1
    assert reason in ended.err
    assert len(ended.err.splitlines()) == 1


def test_a_test_of_a_disabled_integration_posts_nothing(connected: Shell) -> None:
    subscription = connected.subscribe("--to", "ops")
    connected("integrations", "disable", "acme")
    ended = connected("subscriptions", "test", subscription)
    assert ended.code == 1
    assert "enable acme" in ended.err
    assert connected.slack.messages("ops") == []


def test_a_paused_subscription_keeps_everything_else(connected: Shell) -> None:
    subscription = connected.subscribe("--to", "ops", "--kind", "alert")
    before = connected("subscriptions", "list", "--json").json
    assert connected("subscriptions", "pause", subscription).code == 0
    assert connected("subscriptions", "list", "--json").json == [before[0] | {"paused": True}]
    assert connected("subscriptions", "resume", subscription).code == 0
    assert connected("subscriptions", "list", "--json").json == before


def test_removing_one_discards_what_waits_for_it_alone(connected: Shell) -> None:
    async def wait(made: Services) -> None:
        entries = [Entry(f"d{i}", f"e{i}.s", id_, 0) for i, id_ in enumerate((first, second, first))]
        await made.lanes.append("acme/#ops", entries)

    first, second = connected.subscribe("--to", "ops"), connected.subscribe("--to", "ops", "--kind", "alert")
    connected.store(wait)
    ended = connected("subscriptions", "remove", first)
    assert ended.out == f"Removed {first}. 2 deliveries that waited: discarded.\n"
    assert connected("subscriptions", "show", second, "--json").json["waiting"] == 1


@pytest.mark.parametrize("command", ["show", "test", "pause", "resume", "remove"])
def test_an_unknown_id_is_one_line(connected: Shell, command: str) -> None:
    ended = connected("subscriptions", command, "sub-0")
    assert ended.code == 1
    assert "There is no subscription 'sub-0'" in ended.err


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["yaml", "json"])
def test_applying_an_export_changes_nothing_and_says_so(connected: Shell, form: tuple[str, ...]) -> None:
    connected.subscribe("--to", "ops", "--kind", "alert", "--label", "a=b", "--mention", "<!here>")
    connected.subscribe("--to", "lobby", "--style", "plain", "--min-severity", "info")
    connected("subscriptions", "pause", connected.subscribe("--to", "ada@example.com", "--entity-id", "007"))
    before = connected("subscriptions", "list", "--json").json
    exported = connected("subscriptions", "export", *form).out
    ended = connected("subscriptions", "apply", connected.file(exported), "--prune")
    assert ended.out == "Nothing to change, 3 as before.\n"
    assert connected("subscriptions", "list", "--json").json == before


def test_an_export_restores_what_was_lost(connected: Shell) -> None:
    connected.subscribe("--to", "ops", "--kind", "alert")
    exported = connected("subscriptions", "export").out
    before = connected("subscriptions", "list", "--json").json
    connected("subscriptions", "remove", before[0]["id"])
    assert connected("subscriptions", "apply", "-", stdin=exported).out.endswith("1 added.\n")
    assert connected("subscriptions", "list", "--json").json == before


def test_an_empty_export_is_a_list_too(connected: Shell) -> None:
    exported = connected("subscriptions", "export").out
    assert yaml.safe_load(exported) == []
    assert connected("subscriptions", "apply", "-", stdin=exported).out == "Nothing to change.\n"


FILE = """
- destination: '#ops'
  mention: <!here>
- destination: lobby
  kind: [alert, workflow]
"""


def test_a_file_without_ids_finds_those_about_the_same(connected: Shell) -> None:
    first = connected.subscribe("--to", "ops")
    second = connected.subscribe("--to", "lobby", "--kind", "workflow", "--kind", "alert")
    third = connected.subscribe("--to", "ops", "--kind", "other")
    ended = connected("subscriptions", "apply", connected.file(FILE))
    assert f"~ {first}: mention: none → <!here>" in ended.out
    assert "1 changed, 1 as before." in ended.out
    assert f"1 subscription not in the file stay (--prune removes them): {third}." in ended.out
    assert {one["id"] for one in connected("subscriptions", "list", "--json").json} == {first, second, third}


def test_prune_removes_what_is_not_in_the_file(connected: Shell) -> None:
    third = connected.subscribe("--to", "ops", "--kind", "other")
    ended = connected("subscriptions", "apply", connected.file(FILE), "--prune", "--json")
    assert [one["id"] for one in ended.json["removed"]] == [third]
    assert [one["destination"] for one in ended.json["added"]] == ["#ops", "#lobby"]
    assert "/invite @infrakitchen" in ended.err
    assert len(connected("subscriptions", "list", "--json").json) == 2


def test_a_dry_run_changes_nothing(connected: Shell) -> None:
    first = connected.subscribe("--to", "ops", "--kind", "other")
    before = connected("subscriptions", "list", "--json").json
    ended = connected("subscriptions", "apply", connected.file(FILE), "--prune", "--dry-run")
    assert f"- {first}: kind other to #ops" in ended.out
    assert "Would be: 2 added, 1 removed." in ended.out
    assert connected("subscriptions", "list", "--json").json == before


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file is empty"),
        ("a: b", "holds no list"),
        ("- destination: #ops", "a name with # stands in quotes"),
        ("- {to: ops}", "to is not known; known are id, integration, destination"),
        ("- {destination: ops, kind: foo}", "kind: 'foo' is none of 'workflow'"),
        ("- {destination: ops, entity_id: 7}", "entity_id: 7 is no text; put it in quotes"),
        ("- {destination: ops, label: {a: b}}", "write KEY=VALUE"),
        ("- {destination: ops, paused: perhaps}", "neither true nor false"),
        ("- {destination: ops}\n- {destination: '#OPS'}", "subscription 2 of the file is number 1 again"),
        ("- 7", "is no mapping"),
        ("- [", "line 1"),
        ('[{"destination": "ops"', "line 1"),
        ("- {destination: ops, name: 2024-13-99}", "month must be in 1..12"),
        ("- {destination: ops, integration: none}", "There is no integration 'none'"),
        (b"\xff", "is not UTF-8"),
    ],
)
def test_a_wrong_file_changes_nothing_and_says_where(
    connected: Shell, text: str | bytes, reason: str
) -> None:
    first = connected.subscribe("--to", "ops", "--kind", "other")
    ended = connected("subscriptions", "apply", "-", "--prune", stdin=text)
    assert ended.code == 1
    assert reason in ended.err
    assert len(ended.err.splitlines()) == 1
    assert [one["id"] for one in connected("subscriptions", "list", "--json").json] == [first]


def test_json_may_be_indented_with_tabs(connected: Shell) -> None:
    text = '[\n\t{\n\t\t"destination": "ops"\n\t}\n]'
    assert connected("subscriptions", "apply", "-", stdin=text).out.endswith("1 added.\n")
