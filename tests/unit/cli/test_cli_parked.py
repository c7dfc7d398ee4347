"""Parked: what waits for a person, the step, and letting it go on."""

import pytest
from cli_shell import Shell
from inspecting import event, tell, told


@pytest.fixture
def lobby(shell: Shell) -> Shell:
    """One delivery waits for an invitation."""
    shell.connect()
    shell.subscribe("--to", "#lobby")
    told(shell, event())
    return shell


def listed(shell: Shell) -> list[dict]:
    ended = shell("parked", "list", "--json")
    assert ended.code == 0, ended.err
    return ended.json


def test_nothing_parked_is_said(shell: Shell) -> None:
    shell.connect()
    assert shell("parked", "list").out == "Nothing waits for a person.\n"
    assert listed(shell) == []


def test_a_parked_lane_says_why_and_the_step(lobby: Shell) -> None:
    [one] = listed(lobby)
    assert {"lane", "channel", "reason", "hint", "pending", "since"} <= set(one)
    assert (one["lane"], one["channel"], one["pending"]) == ("acme/#lobby", "#lobby", 1)
    assert (one["reason"], one["detail"]) == ("not_in_channel", "@infrakitchen is not a member of #lobby")
    assert one["hint"] == "Type `/invite @infrakitchen` in #lobby."
    assert one["since"].endswith("Z")
    out = lobby("parked", "list").out
    assert "! acme/#lobby  1 delivery since 20" in out
    assert one["hint"] in out


def test_lanes_of_a_parked_integration_wait_with_its_reason(lobby: Shell) -> None:
    lobby.acme.invite("lobby")
    lobby.subscribe("--to", "#ops")
    lobby.acme.revoke(lobby.acme.token)
    told(lobby, event("deploy-2"))
    found = listed(lobby)
    assert {one["lane"]: one["reason"] for one in found} == {
        "acme/#lobby": "token_revoked",
        "acme/#ops": "token_revoked",
    }
    assert all("integrations rotate acme" in one["hint"] for one in found)
    out = lobby("parked", "list").out
    assert out.count("integrations rotate acme") == 1
    assert "integration acme is parked since" in out
    assert "waits for it: acme/#ops, 1 delivery" in out


def test_a_disabled_integration_is_shown_with_its_step(lobby: Shell) -> None:
    lobby("integrations", "disable", "acme")
    assert [one["reason"] for one in listed(lobby)] == ["disabled"]
    assert "– integration acme is disabled" in lobby("parked", "list").out


@pytest.mark.parametrize("lane", ["acme/#lobby", "#lobby"])
def test_a_resumed_lane_goes_on_and_is_woken(lobby: Shell, lane: str) -> None:
    lobby.acme.invite("lobby")
    ended = lobby("parked", "resume", lane)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("acme/#lobby goes on, 1 delivery to tell.")
    assert lobby.store(lambda made: made.broker.command("LLEN", "ik:celery:lanes")) == 1
    tell(lobby)
    assert lobby("deliveries", "list", "--json").json[0]["state"] == "delivered"


def test_a_lane_that_still_cannot_go_on_parks_again_with_its_age(lobby: Shell) -> None:
    [before] = listed(lobby)
    lobby("parked", "resume", "acme/#lobby")
    assert listed(lobby) == []
    tell(lobby)
    assert listed(lobby) == [before]


def test_resuming_what_is_not_parked_changes_nothing(lobby: Shell) -> None:
    lobby("parked", "resume", "acme/#lobby")
    ended = lobby("parked", "resume", "acme/#lobby")
    assert (ended.code, ended.out) == (0, "acme/#lobby is not parked: there is nothing to resume.\n")


def test_a_lane_held_by_its_integration_says_what_that_needs(lobby: Shell) -> None:
    lobby("integrations", "disable", "acme")
    ended = lobby("parked", "resume", "acme/#lobby")
    assert ended.code == 1
    assert "waits for its integration" in ended.err
    assert "`ik-slack integrations enable acme`" in ended.err


def test_an_unknown_lane_lists_similar_ones(lobby: Shell) -> None:
    ended = lobby("parked", "resume", "acme/#loby")
    assert (ended.code, ended.err) == (1, "Error: There is no lane 'acme/#loby': did you mean acme/#lobby?\n")
    assert "see `ik-slack parked list`" in lobby("parked", "resume", "zzz").err


def test_a_destination_of_several_lanes_must_be_told_apart(lobby: Shell) -> None:
    lobby.connect("other")
    lobby.subscribe("--to", "#lobby", "--integration", "other")
    ended = lobby("parked", "resume", "#lobby")
    assert ended.code == 1
    assert "acme/#lobby, other/#lobby" in ended.err
