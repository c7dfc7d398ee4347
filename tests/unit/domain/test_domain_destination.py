"""Destinations made from the event: a legal name of a channel, a person, or the reason why there is none."""

import re
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from worker.domain.delivery import Destination, canonical_destination, destination_form
from worker.domain.destination import Choice, choose_destination, could_make, has_placeholders, parse_pattern
from worker.domain.event import Entity, Event, Kind, Severity
from worker.domain.subscription import LaneSet, Subscription

NOW_MS = 1_000_000
EVENT = Event(
    id="e1",
    source="s",
    type="t",
    kind=Kind.RESOURCE,
    entry_id="1-0",
    entity=Entity("resource", "r1", "DB main (EU)"),
    severity=Severity.INFO,
    title="T",
    project="Payments",
    requester="Ada Example",
    requester_email="Ada@example.com",
    template="AWS Redis",
    labels={"team": "Café & Co.", "app.example.com/name": "x_1", "dots": "…", "blank": " "},
)


@pytest.mark.parametrize(
    ("written", "destination", "reason"),
    [
        ("#ops", "#ops", ""),
        ("ada@example.com", "ada@example.com", ""),
        ("#team-{label:team}", "#team-café-co", "label team is Café & Co."),
        ("#res-{name}", "#res-db-main-eu", "name is DB main (EU)"),
        ("x-{label:app.example.com/name}", "#x-x_1", "label app.example.com/name is x_1"),
        ("#{project}-{entity_type}", "#payments-resource", "project is Payments, entity type is resource"),
        ("#{template}_{ template }-Ops", "#aws-redis_aws-redis-ops", "template is AWS Redis"),
        ("#by-{requester}", "#by-ada-example", "requester is Ada Example"),
        ("{requester}", "ada@example.com", "requester is ada@example.com"),
    ],
)
def test_the_values_of_an_event_make_its_destination(written: str, destination: str, reason: str) -> None:
    assert choose_destination(written, EVENT) == Choice(destination, reason)
    assert could_make(written, destination)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("#team-{label:owner}", "label owner is empty"),
        ("#team-{label:blank}", "label blank is empty"),
        ("#team-{label:dots}", "label dots has no letter or digit"),
        ("#{project}-{label:owner}", "label owner is empty"),
    ],
)
def test_an_event_without_the_value_goes_nowhere_and_the_reason_names_it(written: str, reason: str) -> None:
    assert choose_destination(written, EVENT) == Choice("", reason)


def test_a_person_without_an_email_address_gets_nothing() -> None:
    nameless = replace(EVENT, requester="", requester_email="")
    assert choose_destination("{requester}", nameless).reason == "requester is empty"
    for email in ("", "C0123456789", "#ops", "ada", "<!channel>"):
        choice = choose_destination("{requester}", replace(EVENT, requester_email=email))
        assert choice == Choice("", "requester has no e-mail address")


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("#team-{team}", "has no placeholder {team}; write {label:team} for a label, or {name}, {project}"),
        ("#team-{}", "has no placeholder {}; write {label:KEY} for a label"),
        ("#team-{label:}", "has no placeholder {label:}; write {label:KEY} for a label, or {name}"),
        ("#team-{name", "has a brace without its partner"),
        ("#team-name}", "has a brace without its partner"),
        ("#team-{{name}}", "has a brace without its partner"),
        ("#team {name}", "has ' ', which the name of a channel cannot have"),
        ("{requester}@example.com", "has '@', which the name of a channel cannot have"),
        ("##{name}", "has '#', which the name of a channel cannot have"),
        ("#" + "a" * 80 + "{name}", "leaves the values no room in the 80 characters"),
    ],
)
def test_a_wrong_pattern_is_refused_with_what_is_wrong(written: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)):
        parse_pattern(written)


def test_a_pattern_has_one_spelling() -> None:
    assert str(parse_pattern(" Team-{ label:Team }-X ")) == "#team-{label:Team}-x"
    assert str(parse_pattern("#{requester}")) == "#{requester}"
    assert str(parse_pattern("{requester}")) == "{requester}"
    assert not has_placeholders("#ops")


def test_a_long_value_is_cut_and_the_texts_around_it_stay() -> None:
    long = replace(EVENT, project="p" * 100, entity=Entity("resource", "r1", "n" * 39 + "-" * 50 + "n"))
    assert choose_destination("#a-{project}-z", long).destination == f"#a-{'p' * 76}-z"
    both = choose_destination("#{project}-{name}", long).destination
    assert both == f"#{'p' * 39}-{'n' * 39}"


PATTERNS = ("#team-{label:team}", "#res-{name}", "#{project}-{name}", "#{requester}", "{requester}", "x{name}y")


@settings(max_examples=examples(500))
@given(st.sampled_from(PATTERNS), st.text(max_size=200))
def test_any_value_makes_a_legal_destination_of_its_kind_or_a_reason(written: str, value: str) -> None:
    event = replace(
        EVENT, project=value, requester=value, requester_email=value, labels={"team": value},
        entity=Entity("resource", "r1", value),
    )  # fmt: skip
    choice = choose_destination(written, event)
    assert choice.reason
    if not choice.destination:
        return
    form = destination_form(choice.destination)
    assert could_make(written, choice.destination)
    assert canonical_destination(choice.destination) == choice.destination
    if written == "{requester}":
        assert form is Destination.EMAIL
        return
    name = choice.destination.removeprefix("#")
    assert form is Destination.CHANNEL_NAME
    assert choice.destination[0] == "#"
    assert 1 <= len(name) <= 80
    assert name == unicodedata.normalize("NFC", name.lower())
    assert not re.search(r"[\s#@<>{}|&.,:!/\\]", name)
    assert not any(char.isupper() for char in name)


def test_the_second_destination_is_for_events_without_the_value() -> None:
    team = Subscription("s", "acme", "#team-{label:team}", otherwise="#ops")
    assert team.choose(EVENT) == Choice("#team-café-co", "label team is Café & Co.")
    plain = replace(EVENT, labels={})
    assert team.choose(plain) == Choice("#ops", "label team is empty")
    assert team.mismatch_reason(plain, NOW_MS) == ""
    both = replace(team, otherwise="#{label:owner}")
    assert both.mismatch_reason(plain, NOW_MS) == "label team is empty, label owner is empty"
    assert replace(team, otherwise="").mismatch_reason(plain, NOW_MS) == "label team is empty"


def test_a_subscription_knows_which_lanes_it_uses() -> None:
    team = Subscription("s", "acme", "#team-{label:team}", otherwise="#ops")
    person, fixed = Subscription("p", "acme", "{requester}"), Subscription("f", "acme", "#dev")
    assert team.uses_lane("acme/#team-x")
    assert team.uses_lane("acme/#ops")
    assert not team.uses_lane("acme/#dev")
    assert not team.uses_lane("other/#team-x")
    assert person.uses_lane("acme/ada@example.com")
    assert not person.uses_lane("acme/#ada")
    assert (team.is_fixed, fixed.is_fixed) == (False, True)
    lanes = LaneSet.of((team, fixed))
    assert lanes.names == {"acme/#ops", "acme/#dev"}
    assert all(lane in lanes for lane in ("acme/#ops", "acme/#dev", "acme/#team-x"))
    assert "acme/#x" not in lanes
