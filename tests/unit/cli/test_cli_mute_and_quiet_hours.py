"""Options that reduce messages: set, listed, exported, applied, and explained for each event."""

from datetime import UTC, datetime, timedelta

import pytest
from support.cli import Shell, deliver, publish, record_heartbeats
from support.events import failed_workflow

pytestmark = pytest.mark.slow


def unchanged_by_its_export(shell: Shell) -> bool:
    """Return whether applying an export changes nothing."""
    before = shell("subscriptions", "list", "--json").json
    exported = shell("subscriptions", "export").out
    ended = shell("subscriptions", "apply", "-", "--prune", stdin=exported)
    return ended.out.startswith("Nothing to change") and shell("subscriptions", "list", "--json").json == before


def test_only_changes_is_an_option_like_all_others(connected: Shell) -> None:
    id_ = connected.subscribe("--to", "ops", "--only-changes")
    assert connected("subscriptions", "show", id_, "--json").json["only_changes"] is True
    assert "only changes" in connected("subscriptions", "list").out
    assert "only_changes: true" in connected("subscriptions", "export").out
    assert unchanged_by_its_export(connected)


def test_inhibition_is_an_option_like_all_others(connected: Shell) -> None:
    id_ = connected.subscribe("--to", "ops", "--inhibit-resources")
    assert connected("subscriptions", "show", id_, "--json").json["inhibit_resources"] is True
    assert "workflows suppress their resources" in connected("subscriptions", "list").out
    assert unchanged_by_its_export(connected)


def test_explain_names_the_delivery_that_sent_the_same_state(connected: Shell) -> None:
    connected.subscribe("--to", "ops", "--only-changes")
    deliver(connected, failed_workflow("first", workflow_id="w1"))
    deliver(connected, failed_workflow("again", workflow_id="w1"))
    first = connected("explain", "first", "--json").json["matched"][0]["delivery"]["id"]
    assert f"the same state was already sent by {first}" in connected("explain", "again").out
    assert len(connected.slack.messages("ops")) == 1


def state(shell: Shell, id_: str) -> str:
    """Return the state of a subscription from the text of `show`."""
    lines = shell("subscriptions", "show", id_).out.splitlines()
    return next(line.partition(" ")[2].strip() for line in lines if line.startswith("State"))


def test_an_event_during_a_mute_is_suppressed_with_the_end_of_the_mute(connected: Shell) -> None:
    id_ = connected.subscribe("--to", "ops")
    ended = connected("subscriptions", "mute", id_, "--for", "2h")
    assert (ended.code, ended.out[: len(id_) + 13]) == (0, f"Muted {id_} until ")
    deliver(connected, failed_workflow("meanwhile"))
    story = connected("explain", "meanwhile", "--json").json
    assert story["state"] == "suppressed"
    assert story["reason"].startswith("every matching subscription is muted until 20")
    [reason] = [one["reason"] for one in story["unmatched"]]
    assert reason.startswith("muted until 20")
    assert connected("ledger", "--json").json["suppressed"] == 1
    assert connected.slack.messages("ops") == []


def test_after_unmuting_events_are_sent_and_suppressed_events_keep_their_reason(connected: Shell) -> None:
    id_ = connected.subscribe("--to", "ops")
    connected("subscriptions", "mute", id_, "--until", "2999-01-01 08:00")
    deliver(connected, failed_workflow("meanwhile"))
    assert connected("subscriptions", "unmute", id_).out == f"Unmuted {id_}.\n"
    deliver(connected, failed_workflow("after"))
    assert connected("explain", "after", "--json").json["state"] == "delivered"
    assert "muted until" in connected("explain", "meanwhile", "--json").json["unmatched"][0]["reason"]
    assert state(connected, id_) == "active"


def test_a_delivery_queued_before_the_mute_is_sent(connected: Shell) -> None:
    id_ = connected.subscribe("--to", "ops")
    publish(connected, failed_workflow("before"))
    connected("subscriptions", "mute", id_, "--for", "1h")
    deliver(connected)
    assert connected("explain", "before", "--json").json["state"] == "delivered"


def test_another_subscription_still_takes_the_event(connected: Shell) -> None:
    muted, other = (
        connected.subscribe("--to", "ops"),
        connected.subscribe("--to", "ops", "--kind", "workflow"),
    )
    connected("subscriptions", "mute", muted, "--for", "1h")
    deliver(connected, failed_workflow("meanwhile"))
    story = connected("explain", "meanwhile", "--json").json
    assert [one["subscription_id"] for one in story["matched"]] == [other]
    assert [one["subscription_id"] for one in story["unmatched"]] == [muted]


def test_a_mute_is_shown_and_survives_its_export(connected: Shell) -> None:
    id_ = connected.subscribe("--to", "ops")
    connected("subscriptions", "mute", id_, "--until", "2999-01-01T07:00:00Z")
    assert state(connected, id_).startswith("muted until 2999-01-01")
    assert "muted until 2999-01-01" in connected("subscriptions", "list").out
    assert connected("subscriptions", "list", "--json").json[0]["muted_until"] == "2999-01-01T07:00:00Z"
    assert "muted_until: '2999-01-01T07:00:00Z'" in connected("subscriptions", "export").out
    assert unchanged_by_its_export(connected)


def test_a_file_without_muted_until_keeps_the_mute(connected: Shell) -> None:
    id_ = connected.subscribe("--to", "ops")
    connected("subscriptions", "mute", id_, "--for", "1h")
    before = connected("subscriptions", "list", "--json").json
    for text in ("- destination: '#ops'", f"- {{id: {id_}, destination: '#ops', kind: alert}}"):
        assert connected("subscriptions", "apply", "-", stdin=text).code == 0
        assert connected("subscriptions", "list", "--json").json[0]["muted_until"] == before[0]["muted_until"]
    assert connected("subscriptions", "add", "--to", "ops", "--kind", "alert", "--json").json["id"] == id_


@pytest.mark.parametrize("written", ["2999-01-01T07:00:00Z", "'2999-01-01T08:00:00+01:00'"])
def test_a_file_may_begin_a_mute(connected: Shell, written: str) -> None:
    id_ = connected.subscribe("--to", "ops")
    ended = connected("subscriptions", "apply", "-", stdin=f"- {{destination: ops, muted_until: {written}}}")
    assert f"~ {id_}: muted_until: none → 2999-01-01T07:00:00Z" in ended.out
    deliver(connected, failed_workflow("meanwhile"))
    assert connected("explain", "meanwhile", "--json").json["state"] == "suppressed"


def test_a_file_may_end_a_mute(connected: Shell) -> None:
    id_ = connected.subscribe("--to", "ops")
    connected("subscriptions", "mute", id_, "--for", "1h")
    connected("subscriptions", "apply", "-", stdin="- {destination: ops, muted_until: ''}")
    assert state(connected, id_) == "active"


def test_a_past_mute_in_a_file_is_ignored(connected: Shell) -> None:
    id_ = connected.subscribe("--to", "ops")
    text = "- {destination: ops, muted_until: '2020-01-01T07:00:00Z'}"
    assert connected("subscriptions", "apply", "-", stdin=text).out.startswith("Nothing to change")
    connected("subscriptions", "mute", id_, "--for", "1h")
    assert connected("subscriptions", "apply", "-", stdin=text).out.startswith("Nothing to change")
    assert state(connected, id_).startswith("muted until")


def test_a_time_of_day_in_a_file_is_refused(connected: Shell) -> None:
    ended = connected("subscriptions", "apply", "-", stdin="- {destination: ops, muted_until: '08:00'}")
    assert (ended.code, "muted_until: '08:00' is not a time" in ended.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "either --for SPAN or --until TIME"),
        (("--for", "1h", "--until", "08:00"), "either --for SPAN or --until TIME"),
        (("--for", "soon"), "--for: 'soon' is not a time span; write 30m, 2h, 3d"),
        (("--until", "soon"), "--until: 'soon' is not a time; write '2026-11-25 08:00'"),
        (("--until", "2020-01-01 08:00"), "--until: 2020-01-01 08:00:00 is in the past; now it is 20"),
    ],
)
def test_an_invalid_mute_is_wrong_use(connected: Shell, words: tuple[str, ...], reason: str) -> None:
    id_ = connected.subscribe("--to", "ops")
    ended = connected("subscriptions", "mute", id_, *words)
    assert (ended.code, reason in ended.err) == (2, True), ended.err
    assert state(connected, id_) == "active"


QUIET = ("--quiet-hours", "22:00-07:00", "--time-zone", "Europe/Stockholm")


def hours_around_now() -> str:
    """Return quiet hours, in UTC, around the current time."""
    now = datetime.now(UTC)
    return f"{now - timedelta(hours=2):%H:%M}-{now + timedelta(hours=2):%H:%M}"


def test_quiet_hours_are_an_option_like_all_others(connected: Shell) -> None:
    id_ = connected.subscribe("--to", "ops", *QUIET, "--quiet-below", "error")
    shown = connected("subscriptions", "show", id_, "--json").json
    assert [shown[name] for name in ("quiet_hours", "time_zone", "quiet_below")] == [
        "22:00-07:00", "Europe/Stockholm", "error",
    ]  # fmt: skip
    assert "quiet 22:00-07:00 Europe/Stockholm below error" in connected("subscriptions", "list").out
    assert unchanged_by_its_export(connected)


@pytest.mark.parametrize("command", [("explain", "tonight"), ("deliveries", "show")])
def test_a_delivery_held_in_quiet_hours_shows_the_end(connected: Shell, command: tuple[str, ...]) -> None:
    hours = hours_around_now()
    connected.subscribe("--to", "ops", "--quiet-hours", hours, "--time-zone", "Etc/UTC")
    deliver(connected, failed_workflow("tonight"))
    record_heartbeats(connected, "worker")
    [delivery] = connected("deliveries", "list", "--state", "pending", "--json").json
    asked = command if command[0] == "explain" else (*command, delivery["id"])
    assert f"pending: held: quiet hours until {hours[6:]} (Etc/UTC)" in connected(*asked).out
    assert connected("ledger", "--json").json["pending"] == 1
    assert connected("subscriptions", "show", delivery["subscription_id"], "--json").json["waiting"] == 1
    assert connected.slack.messages("ops") == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--quiet-hours", "22-7"), "--quiet-hours: '22-7' is not a period of time; write 22:00-07:00"),
        (("--quiet-hours", "22:00-07:00"), "--time-zone: is missing; quiet hours need one"),
        (("--time-zone", "UTC"), "--time-zone: needs quiet hours"),
        ((*QUIET[:3], "Europe/Nowhere"), "--time-zone: this machine does not know the time zone 'Europe/Nowhere'"),
        ((*QUIET, "--quiet-below", "bad"), "'bad' is not one of"),
    ],
)
def test_invalid_quiet_hours_are_wrong_use(connected: Shell, words: tuple[str, ...], reason: str) -> None:
    ended = connected("subscriptions", "add", "--to", "ops", *words)
    assert (ended.code, reason in ended.err) == (2, True), ended.err
    assert connected("subscriptions", "list", "--json").json == []


def test_adding_a_muted_subscription_again_finds_it(connected: Shell) -> None:
    other = connected.subscribe("--to", "ops", "--mention", "<!here>")
    muted = connected.subscribe("--to", "ops")
    connected("subscriptions", "mute", muted, "--for", "1h")
    ended = connected("subscriptions", "apply", "-", stdin="- destination: ops")
    assert f"1 subscription is not in the file and kept (--prune removes them): {other}." in ended.out
