"""`ik-slack parked`: parked lanes with their fixes, listed and resumed."""

import pytest
from support.cli import Shell, deliver, drain_lanes
from support.events import failed_workflow


@pytest.fixture
def lobby(shell: Shell) -> Shell:
    """Park a lane with one delivery, because the bot is not a member of its channel."""
    shell.connect()
    shell.subscribe("--to", "#lobby")
    deliver(shell, failed_workflow())
    return shell


def listed(shell: Shell) -> list[dict]:
    ended = shell("parked", "list", "--json")
    assert ended.code == 0, ended.err
    return ended.json


def test_an_empty_list_of_parked_lanes_is_one_line(shell: Shell) -> None:
    shell.connect()
    assert shell("parked", "list").out == "No lane is parked.\n"
    assert listed(shell) == []


def test_a_parked_lane_shows_its_reason_and_fix(lobby: Shell) -> None:
    [one] = listed(lobby)
    assert {"lane", "channel", "reason", "hint", "pending", "since"} <= set(one)
    assert (one["lane"], one["channel"], one["pending"]) == ("acme/#lobby", "#lobby", 1)
    assert (one["reason"], one["detail"]) == ("not_in_channel", "@infrakitchen is not a member of #lobby")
    assert one["hint"] == "Type `/invite @infrakitchen` in #lobby."
    assert one["since"].endswith("Z")
    out = lobby("parked", "list").out
    assert "! acme/#lobby: 1 delivery since 20" in out
    assert one["hint"] in out


def test_lanes_of_a_parked_integration_have_its_reason(lobby: Shell) -> None:
    lobby.acme.invite("lobby")
    lobby.subscribe("--to", "#ops")
    lobby.acme.revoke(lobby.acme.token)
    deliver(lobby, failed_workflow("deploy-2"))
    found = listed(lobby)
    assert {one["lane"]: one["reason"] for one in found} == {
        "acme/#lobby": "token_revoked",
        "acme/#ops": "token_revoked",
    }
    assert all("integrations rotate acme" in one["hint"] for one in found)
    out = lobby("parked", "list").out
    assert out.count("integrations rotate acme") == 1
    assert "integration acme: parked since" in out
    assert "waiting lane: acme/#ops, 1 delivery" in out


def test_a_disabled_integration_is_listed_with_its_fix(lobby: Shell) -> None:
    lobby("integrations", "disable", "acme")
    assert [one["reason"] for one in listed(lobby)] == ["disabled"]
    assert "– integration acme: disabled" in lobby("parked", "list").out


@pytest.mark.parametrize("lane", ["acme/#lobby", "#lobby"])
def test_a_resumed_lane_is_woken_and_continues(lobby: Shell, lane: str) -> None:
    lobby.acme.invite("lobby")
    ended = lobby("parked", "resume", lane)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("acme/#lobby resumed with 1 pending delivery.")
    assert lobby.store(lambda app: app.broker.command("LLEN", "ik:celery:lanes")) == 1
    drain_lanes(lobby)
    assert lobby("deliveries", "list", "--json").json[0]["state"] == "delivered"


def test_a_lane_that_is_still_blocked_parks_again_with_its_age(lobby: Shell) -> None:
    [before] = listed(lobby)
    lobby("parked", "resume", "acme/#lobby")
    assert listed(lobby) == []
    drain_lanes(lobby)
    assert listed(lobby) == [before]


def test_resuming_a_lane_that_is_not_parked_changes_nothing(lobby: Shell) -> None:
    lobby("parked", "resume", "acme/#lobby")
    ended = lobby("parked", "resume", "acme/#lobby")
    assert (ended.code, ended.out) == (
        0,
        "acme/#lobby is not parked and waits out no failure: there is nothing to resume.\n",
    )


def test_resuming_a_lane_of_a_parked_integration_names_the_fix(lobby: Shell) -> None:
    lobby("integrations", "disable", "acme")
    ended = lobby("parked", "resume", "acme/#lobby")
    assert ended.code == 1
    assert "is parked with its integration" in ended.err
    assert "`ik-slack integrations enable acme`" in ended.err


def test_an_unknown_lane_lists_similar_ones(lobby: Shell) -> None:
    ended = lobby("parked", "resume", "acme/#loby")
    assert (ended.code, ended.err) == (1, "Error: There is no lane 'acme/#loby': did you mean acme/#lobby?\n")
    assert "`ik-slack parked list`" in lobby("parked", "resume", "zzz").err


def test_a_destination_with_several_lanes_is_ambiguous(lobby: Shell) -> None:
    lobby.connect("other")
    lobby.subscribe("--to", "#lobby", "--integration", "other")
    ended = lobby("parked", "resume", "#lobby")
    assert ended.code == 1
    assert "acme/#lobby, other/#lobby" in ended.err
