"""`ik-slack` with destinations made from the event: added, previewed, explained, listed, moved and removed."""

import json

import pytest
from support.cli import Shell, deliver, ingest, publish
from support.events import alert, cloud_event

pytestmark = pytest.mark.slow

TEAM = "#team-{label:team}"


def of_team(team: str, id_: str = "") -> str:
    return json.dumps(alert(f"disk of {team}", id_=id_ or f"of-{team}", labels={"team": team} if team else {}))


@pytest.fixture
def teams(connected: Shell) -> str:
    connected.acme.add_channel("team-shop", member=True)
    return connected.subscribe("--to", TEAM)


def test_a_destination_made_from_the_event_is_stored_as_written(connected: Shell) -> None:
    ended = connected("subscriptions", "add", "--to", "Team-{label:Team}", "--otherwise", "Ops", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert (ended.json["destination"], ended.json["otherwise"]) == ("#team-{label:Team}", "#ops")
    assert "otherwise to #ops" in connected("subscriptions", "list").out
    exported = connected("subscriptions", "export").out
    assert "otherwise: '#ops'" in exported
    assert (
        connected("subscriptions", "apply", "-", "--prune", stdin=exported).out == "Nothing to change, 1 unchanged.\n"
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--to", "#team-{team}"), "--to: has no placeholder {team}; write {label:team} for a label"),
        (("--to", "#team {name}"), "--to: has ' ', which the name of a channel cannot have"),
        (("--to", "#ops", "--otherwise", "#dev"), "--otherwise: needs a destination that is made from the event"),
        (("--to", "{requester}", "--otherwise", "@x"), "--otherwise: '@x' is not a destination"),
        (("--to", "{wrong}", "--otherwise", "#ops"), "--to: has no placeholder {wrong}"),
    ],
)
def test_what_is_wrong_is_named_with_its_option(connected: Shell, words: tuple[str, ...], reason: str) -> None:
    ended = connected("subscriptions", "add", *words)
    assert ended.code == 2
    assert reason in ended.err.replace("\n", " ")


def test_the_second_destination_is_checked_as_any_other(connected: Shell) -> None:
    ended = connected("subscriptions", "add", "--to", TEAM, "--otherwise", "#lobby")
    assert "/invite @infrakitchen` in #lobby" in ended.err
    changed = connected("subscriptions", "apply", "-", stdin=f"- {{destination: '{TEAM}', otherwise: '#nowhere'}}")
    assert "otherwise: #lobby → #nowhere" in changed.out
    assert changed.err.startswith("Warning: ")
    assert "#nowhere" in changed.err


def test_recent_events_show_where_a_subscription_would_send_them(connected: Shell, teams: str) -> None:
    publish(connected, *(of_team(team) for team in ("shop", "Payments", "")), of_team("SHOP", "again"))
    publish(connected, json.dumps(cloud_event("workflow.started", "w", {"workflow_id": "1", "name": "x"})))
    ingest(connected)
    out = connected("subscriptions", "preview", teams).out
    assert "5 of the last 5 events match." in out
    assert "Would go to #team-shop 2, #team-payments 1, nowhere 2." in out
    assert "nowhere 2: label team is empty" in out
    ended = connected("subscriptions", "add", "--to", "#k-{label:team}", "--kind", "alert", "--dry-run", "--json")
    assert ended.json == {
        "examined": 5, "matched": 4, "destinations": {"#k-shop": 2, "#k-payments": 1},
        "nowhere": {"label team is empty": 1},
    }  # fmt: skip
    unmatched = connected("subscriptions", "add", "--to", "#ops", "--project", "none", "--dry-run").out
    assert unmatched.startswith("0 of the last 5 events match.\n  no match 5: project is not given, not none")
    assert len(connected("subscriptions", "list", "--json").json) == 1


def test_a_preview_names_only_the_first_of_many_destinations(connected: Shell) -> None:
    publish(connected, *(of_team(f"t{number}") for number in range(25)))
    ingest(connected)
    out = connected("subscriptions", "preview", connected.subscribe("--to", TEAM)).out
    assert out.count("#team-t") == 20
    assert "5 more destinations." in out


def test_the_message_of_a_file_is_shown_with_its_destinations(connected: Shell, teams: str) -> None:
    file = connected.file(f"[{of_team('shop')}, {of_team('')}]")
    ended = connected("preview", file, "--subscription", teams)
    assert "In Slack, #team-shop" in ended.out
    assert f"{teams} does not match event 2: label team is empty" in ended.err
    assert connected("preview", file, "--subscription", teams, "--json").json["destinations"] == {"#team-shop": 1}


def test_explain_names_the_value_that_made_the_destination(connected: Shell, teams: str) -> None:
    deliver(connected, of_team("Shop"), of_team(""))
    assert [message["text"] for message in connected.slack.messages("team-shop")]
    story = connected("explain", "of-Shop", "--json").json
    [matched] = story["matched"]
    assert (matched["delivery"]["lane"], matched["reason"]) == ("acme/#team-shop", "label team is Shop")
    assert "→ acme/#team-shop (label team is Shop)" in connected("explain", "of-Shop").out
    lost = connected("explain", "of-", "--json").json
    assert (lost["state"], lost["reason"]) == ("suppressed", "label team is empty")
    assert lost["unmatched"] == [{"subscription_id": teams, "reason": "label team is empty"}]


def test_explain_says_that_a_delivery_follows_its_card(connected: Shell, teams: str) -> None:
    def state(id_: str, status: str, **data: object) -> str:
        details = {"resource_id": "r", "name": "db", "state": "provision", "status": status, **data}
        return json.dumps(cloud_event("resource.state_changed", id_, details))

    deliver(connected, state("one", "in_progress", labels={"team": "shop"}), state("two", "error"))
    [matched] = connected("explain", "two", "--json").json["matched"]
    assert (matched["delivery"]["lane"], matched["reason"]) == (
        "acme/#team-shop", "follows its card: label team is empty",
    )  # fmt: skip
    connected("subscriptions", "move", teams, "--to", "#ops")
    [matched] = connected("explain", "two", "--json").json["matched"]
    assert matched["reason"] == ""
    connected("subscriptions", "move", teams, "--to", "#other-{label:team}")
    [matched] = connected("explain", "one", "--json").json["matched"]
    assert matched["reason"] == ""
    connected("subscriptions", "remove", teams)
    assert connected("explain", "one", "--json").json["matched"][0]["reason"] == ""


def test_a_channel_that_does_not_exist_parks_with_how_it_is_made(connected: Shell, teams: str) -> None:
    deliver(connected, of_team("new"), of_team("shop"))
    [parked] = connected("parked", "list", "--json").json
    assert (parked["lane"], parked["reason"]) == ("acme/#team-new", "channel_not_found")
    assert parked["hint"] == (
        f"{teams} made this name from an event. If Slack has no such channel, create it, then type "
        "`/invite @infrakitchen` in it."
    )
    status = connected("subscriptions", "show", teams, "--json").json
    assert (status["lanes"], status["parked_lanes"], status["waiting"]) == (2, 1, 1)
    assert status["hint"] == parked["hint"]
    assert "2, 1 parked" in connected("subscriptions", "show", teams).out


def test_the_lanes_of_a_subscription_are_found_by_its_destination(connected: Shell, teams: str) -> None:
    connected.subscribe("--to", "#ops")
    deliver(connected, of_team("new"), of_team("shop"))
    lanes = {it["lane"] for it in connected("deliveries", "list", "--lane", TEAM, "--json").json}
    assert lanes == {"acme/#team-new", "acme/#team-shop"}
    assert len(connected("deliveries", "list", "--lane", f"acme/{TEAM}", "--json").json) == 2
    several = connected("parked", "resume", TEAM)
    assert several.code == 1
    assert "Several lanes lead to" in several.err


def test_a_test_message_needs_one_destination(connected: Shell, teams: str) -> None:
    ended = connected("subscriptions", "test", teams)
    assert ended.code == 1
    assert f"run `ik-slack subscriptions preview {teams}`" in ended.err


def test_a_moved_subscription_keeps_what_waits_in_its_old_lanes(connected: Shell, teams: str) -> None:
    deliver(connected, of_team("new"))
    moved = connected("subscriptions", "move", teams, "--to", "#res-{name}", "--otherwise", "#ops")
    assert moved.code == 0
    assert connected("subscriptions", "show", teams, "--json").json["otherwise"] == "#ops"
    connected("subscriptions", "move", teams, "--to", "#by-{requester}")
    assert connected("subscriptions", "show", teams, "--json").json["otherwise"] == "#ops"
    connected("subscriptions", "move", teams, "--to", "#ops")
    assert connected("subscriptions", "show", teams, "--json").json["otherwise"] == ""
    assert [it["pending"] for it in connected("parked", "list", "--json").json] == [1]
    refused = connected("subscriptions", "move", teams, "--to", "#ops", "--otherwise", "#lobby")
    assert refused.code == 2
    assert "--otherwise: needs a destination" in refused.err


def test_removing_a_subscription_discards_what_waits_in_all_its_lanes(connected: Shell, teams: str) -> None:
    deliver(connected, of_team("a"), of_team("b"))
    assert connected("subscriptions", "remove", teams).out == f"Removed {teams}. Discarded 2 pending deliveries.\n"
    assert connected("ledger", "--json").json["unaccounted"] == 0


def test_the_checks_pass_over_destinations_made_from_events(connected: Shell, teams: str) -> None:
    tested = connected("integrations", "test", "acme", "--json")
    assert tested.code == 0
    assert "{label" not in tested.out


def test_an_entity_is_subscribed_to_with_its_children(connected: Shell) -> None:
    id_ = connected.subscribe("--to", "#ops", "--entity-id", "p1", "--with-children")
    assert "entity id p1, and what belongs to it" in connected("subscriptions", "list").out
    exported = connected("subscriptions", "export").out
    assert "with_children: true" in exported
    assert connected("subscriptions", "apply", "-", stdin=exported).out == "Nothing to change, 1 unchanged.\n"
    details = {"resource_id": "r", "name": "db", "state": "provision", "status": "queued", "parents": ["p1"]}
    ingest(connected, json.dumps(cloud_event("resource.state_changed", "child", details)))
    assert [it["subscription_id"] for it in connected("explain", "child", "--json").json["matched"]] == [id_]
    refused = connected("subscriptions", "add", "--to", "#ops", "--with-children")
    assert (refused.code, "--with-children: needs the id of an entity" in refused.err) == (2, True)
