"""`ik-slack subscriptions`: from options or a file, also for destinations that cannot be posted to yet."""

import json
from time import monotonic

import pytest
import yaml
from support.cli import UNREACHABLE_URL, Shell

from worker.bootstrap.context import AppContext
from worker.store.lanes import NewDelivery


def test_an_added_subscription_has_an_id_and_every_given_value(connected: Shell) -> None:
    words = (
        "--to", "Ops", "--kind", "workflow", "--kind", "alert", "--entity-type", "workflow",
        "--entity-id", "7", "--name", "prod-*", "--project", "shop", "--status", "error",
        "--action", "destroy", "--action", "Approve", "--action", "approve",
        "--min-severity", "error", "--label", "team=core", "--mention", "<!here> <@U0123456789>",
        "--mention-from", "error", "--style", "plain",
    )  # fmt: skip
    ended = connected("subscriptions", "add", *words, "--json")
    assert ended.code == 0
    app = ended.json
    assert app.pop("id").startswith("sub-")
    assert app == {
        "integration": "acme", "destination": "#ops", "otherwise": "", "kind": ["alert", "workflow"],
        "entity_type": ["workflow"], "entity_id": ["7"], "with_children": False, "name": ["prod-*"],
        "project": ["shop"],
        "status": ["error"], "action": ["approve", "destroy"],
        "min_severity": "error", "label": ["team=core"], "paused": False,
        "mention": "<!here> <@U0123456789>", "mention_from": "error", "style": "plain",
        "template": "", "broadcast": False, "only_changes": False, "inhibit_resources": False,
        "muted_until": "", "quiet_hours": "",
        "time_zone": "", "quiet_below": "critical",
    }  # fmt: skip
    assert connected("subscriptions", "list", "--json").json[0].items() > app.items()


def test_a_destination_that_can_be_posted_to_is_pinned(connected: Shell) -> None:
    ended = connected("subscriptions", "add", "--to", "#ops")
    assert ended.err == ""
    shown = connected("subscriptions", "list", "--json").json[0]["id"]
    channel = connected.acme.get_channel("ops").id
    assert connected("subscriptions", "show", shown, "--json").json["address"] == channel
    assert f"#ops ({channel})" in connected("subscriptions", "show", shown).out


@pytest.mark.parametrize(
    ("destination", "step"),
    [
        ("lobby", "Type `/invite @infrakitchen` in #lobby."),
        ("nowhere", "orrect the subscription's destination"),
        ("eve@example.com", "invite this person to the workspace"),
        ("C0000000000", "orrect the subscription's destination"),
    ],
)
def test_an_unreachable_destination_is_accepted_with_a_warning(connected: Shell, destination: str, step: str) -> None:
    ended = connected("subscriptions", "add", "--to", destination)
    assert ended.code == 0
    assert ended.err.startswith("Warning: ")
    assert step in ended.err
    assert len(connected("subscriptions", "list", "--json").json) == 1


def test_slack_out_of_reach_is_a_warning_too(connected: Shell) -> None:
    connected.env.setenv("SLACK_API_URL", UNREACHABLE_URL)
    ended = connected("subscriptions", "add", "--to", "ops")
    assert ended.code == 0
    assert "Slack could not be reached" in ended.err


def test_adding_a_subscription_does_not_wait_for_a_slow_slack(connected: Shell) -> None:
    connected.slack.latency_s = 1.0
    connected.env.setattr("worker.services.destinations.BUDGET_S", 0.1)
    ended = connected("subscriptions", "add", "--to", "ops")
    assert ended.code == 0
    assert "Slack has not been asked yet (the channels of the workspace are being read)" in ended.err
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
def test_invalid_options_are_wrong_use(connected: Shell, words: tuple[str, ...]) -> None:
    ended = connected("subscriptions", "add", *words)
    assert ended.code == 2
    assert connected("subscriptions", "list", "--json").json == []


def test_a_wrong_destination_is_answered_with_the_forms(connected: Shell) -> None:
    assert "someone@example.com" in connected("subscriptions", "add", "--to", "@ada").err


def test_adding_an_equal_subscription_again_returns_the_existing_one(connected: Shell) -> None:
    first = connected.subscribe("--to", "ops", "--kind", "alert", "--kind", "other")
    again = connected("subscriptions", "add", "--to", "#OPS", "--kind", "other", "--kind", "alert", "--json")
    assert again.code == 0
    assert again.json["id"] == first
    assert len(connected("subscriptions", "list", "--json").json) == 1


def test_the_same_filters_with_other_options_are_another_subscription_with_a_warning(connected: Shell) -> None:
    first = connected.subscribe("--to", "ops")
    ended = connected("subscriptions", "add", "--to", "ops", "--mention", "<!here>", "--json")
    assert ended.json["id"] != first
    assert f"{first} already sends the same events" in ended.err


def test_with_several_integrations_one_must_be_named(connected: Shell) -> None:
    connected.connect("second")
    assert connected("subscriptions", "add", "--to", "ops").code == 2
    ended = connected("subscriptions", "add", "--to", "ops", "--integration", "second", "--json")
    assert ended.json["integration"] == "second"
    assert connected("subscriptions", "add", "--to", "ops", "--integration", "third").code == 1


def test_the_list_shows_filters_and_destinations(connected: Shell) -> None:
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
    result = connected("subscriptions", "test", subscription, "--json").json
    [message] = connected.slack.messages("ada@example.com")
    assert (result["channel"], result["ts"]) == (message["channel"], message["ts"])


def test_a_failed_test_message_names_the_fix(connected: Shell) -> None:
    subscription = connected.subscribe("--to", "lobby")
    ended = connected("subscriptions", "test", subscription)
    assert (ended.code, ended.out) == (1, "")
    assert "Type `/invite @infrakitchen` in #lobby." in ended.err


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("ratelimited", "asks to wait 1 s"),
        ("internal_error", "an internal error; the message may have been posted. Look"),
        ("invalid_blocks", "rejected the structure"),
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


def test_removing_a_subscription_discards_only_its_pending_deliveries(connected: Shell) -> None:
    async def wait(app: AppContext) -> None:
        entries = [NewDelivery(f"d{i}", f"e{i}.s", id_, 0) for i, id_ in enumerate((first, second, first))]
        await app.lanes.append("acme/#ops", entries)

    first, second = connected.subscribe("--to", "ops"), connected.subscribe("--to", "ops", "--kind", "alert")
    connected.store(wait)
    ended = connected("subscriptions", "remove", first)
    assert ended.out == f"Removed {first}. Discarded 2 pending deliveries.\n"
    assert connected("subscriptions", "show", second, "--json").json["waiting"] == 1


@pytest.mark.parametrize("command", ["show", "test", "pause", "resume", "remove"])
def test_an_unknown_id_is_one_line(connected: Shell, command: str) -> None:
    ended = connected("subscriptions", command, "sub-0")
    assert ended.code == 1
    assert "There is no subscription 'sub-0'" in ended.err


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["yaml", "json"])
def test_applying_an_export_changes_nothing(connected: Shell, form: tuple[str, ...]) -> None:
    connected.subscribe("--to", "ops", "--kind", "alert", "--label", "a=b", "--mention", "<!here>")
    connected.subscribe("--to", "lobby", "--style", "plain", "--min-severity", "info")
    connected("subscriptions", "pause", connected.subscribe("--to", "ada@example.com", "--entity-id", "007"))
    before = connected("subscriptions", "list", "--json").json
    exported = connected("subscriptions", "export", *form).out
    ended = connected("subscriptions", "apply", connected.file(exported), "--prune")
    assert ended.out == "Nothing to change, 3 unchanged.\n"
    assert connected("subscriptions", "list", "--json").json == before


def test_an_export_restores_removed_subscriptions(connected: Shell) -> None:
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


def test_a_file_without_ids_finds_equal_subscriptions(connected: Shell) -> None:
    first = connected.subscribe("--to", "ops")
    second = connected.subscribe("--to", "lobby", "--kind", "workflow", "--kind", "alert")
    third = connected.subscribe("--to", "ops", "--kind", "other")
    ended = connected("subscriptions", "apply", connected.file(FILE))
    assert f"~ {first}: mention: none → <!here>" in ended.out
    assert "1 changed, 1 unchanged." in ended.out
    assert f"1 subscription is not in the file and kept (--prune removes them): {third}." in ended.out
    assert {one["id"] for one in connected("subscriptions", "list", "--json").json} == {first, second, third}


def test_prune_removes_subscriptions_that_are_not_in_the_file(connected: Shell) -> None:
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
        ("- destination: #ops", "put a name with # in quotes"),
        ("- {to: ops}", "to: is unknown (did you mean destination?)"),
        ("- {destination: ops, min-severty: error}", "min-severty: is unknown (did you mean min_severity?)"),
        ("- {destination: ops, qqq: error}", "qqq: is unknown."),
        ("- {destination: ops, kind: foo}", "kind: 'foo' is not one of 'workflow'"),
        ("- {destination: ops, entity_id: 7}", "entity_id: 7 is not text; put it in quotes"),
        ("- {destination: ops, label: {a: b}}", "write KEY=VALUE"),
        ("- {destination: ops, paused: perhaps}", "neither true nor false"),
        (
            "- {destination: ops}\n- {destination: '#OPS'}",
            "subscription 2 of the file: it is the same as subscription 1",
        ),
        ("- 7", "is not a mapping"),
        ("- [", "line 1"),
        ('[{"destination": "ops"', "line 1"),
        ("- {destination: ops, name: 2024-13-99}", "month must be in 1..12"),
        ("- {destination: ops, integration: none}", "There is no integration 'none'"),
        (b"\xff", "is not UTF-8"),
    ],
)
def test_a_wrong_file_changes_nothing_and_the_error_names_the_place(
    connected: Shell, text: str | bytes, reason: str
) -> None:
    first = connected.subscribe("--to", "ops", "--kind", "other")
    ended = connected("subscriptions", "apply", "-", "--prune", stdin=text)
    assert ended.code == 1
    assert reason in ended.err
    assert len(ended.err.splitlines()) == 1
    assert [one["id"] for one in connected("subscriptions", "list", "--json").json] == [first]


def test_every_wrong_subscription_of_a_file_is_named_in_a_line_of_its_own(connected: Shell) -> None:
    file = "- {destination: ops, kind: foo}\n- {destination: ops}\n- 7\n- {destination: lobby, label: x}\n"
    ended = connected("subscriptions", "apply", "-", stdin=file)
    summary, *lines = ended.err.splitlines()
    assert "3 of 4 subscriptions" in summary
    assert [line.split(":")[0].split()[1] for line in lines] == ["1", "3", "4"]
    others = "\n".join(f"- {{destination: ops, name: n{i}, integration: {name}}}" for i, name in enumerate("acb"))
    assert len(connected("subscriptions", "apply", "-", stdin=others).err.splitlines()) == 4, "unknown integrations"
    assert connected("subscriptions", "list", "--json").json == []


@pytest.mark.parametrize("members", [200, 150])
def test_one_reading_of_the_directory_checks_the_destinations_of_a_large_file(connected: Shell, members: int) -> None:
    """200 look-ups one by one take Slack's rate limit four minutes."""
    ids = [connected.acme.add_channel(f"team-{i}", member=i < members).id for i in range(200)]
    calls = connected.slack.calls.total()
    began_s = monotonic()
    ended = connected("subscriptions", "apply", "-", stdin="\n".join(f"- destination: {id_}" for id_ in ids))
    assert ended.out == "".join(f"+ {one['id']}: every event to {one['destination']}\n" for one in
                                connected("subscriptions", "list", "--json").json) + "200 added.\n"  # fmt: skip
    assert monotonic() - began_s < 60
    assert ended.err.count("/invite @infrakitchen") == 200 - members
    assert "Checking 200 destinations of acme" in ended.err
    assert connected.slack.calls.total() - calls <= 4


def test_a_large_file_changes_no_address_of_a_channel_that_was_renamed(connected: Shell) -> None:
    old = connected.acme.add_channel("team")
    id_ = connected.subscribe("--to", "#team")
    connected.acme.rename(old, "former-team")
    for name in ("team", *(f"team-{number}" for number in range(6))):
        connected.acme.add_channel(name)
    file = "\n".join(f"- destination: '#team-{number}'" for number in range(6))
    ended = connected("subscriptions", "apply", "-", stdin=f"{file}\n- {{destination: '#team', kind: alert}}")
    assert ended.err == "Checking 7 destinations of acme\n"
    assert connected("subscriptions", "show", id_, "--json").json["address"] == old.id


@pytest.mark.slow
def test_people_whom_slack_does_not_let_us_look_up_in_time_share_one_warning(connected: Shell) -> None:
    people = "\n".join(f"- destination: p{i}@example.com" for i in range(60))
    began_s = monotonic()
    ended = connected("subscriptions", "apply", "-", stdin=people)
    assert ended.code == 0
    assert monotonic() - began_s < 5.5
    assert "destinations were not checked; deliveries wait until they can be posted." in ended.err


def test_json_may_be_indented_with_tabs(connected: Shell) -> None:
    text = '[\n\t{\n\t\t"destination": "ops"\n\t}\n]'
    assert connected("subscriptions", "apply", "-", stdin=text).out.endswith("1 added.\n")
