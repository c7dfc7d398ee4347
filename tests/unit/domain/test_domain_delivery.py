"""Ids of deliveries and events, and the normalized spelling of destinations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.delivery import (
    Destination,
    canonical_destination,
    delivery_id,
    destination_form,
    event_ref,
    id_in_capitals,
    lane_name,
    stable_hash,
)

texts = st.text(st.characters(codec=None), max_size=30)


@given(texts, texts, texts)
def test_a_delivery_has_one_id_made_of_plain_letters(source: str, event_id: str, subscription: str) -> None:
    found = delivery_id(source, event_id, subscription)
    assert found == delivery_id(source, event_id, subscription)
    assert found.isalnum()
    assert len(found) == 20


def test_ids_differ_where_their_parts_differ() -> None:
    parts = [("s", "e", "x"), ("s", "e", "y"), ("s", "f", "x"), ("t", "e", "x")]
    assert len({delivery_id(*part) for part in parts}) == 4


def test_an_events_record_is_found_by_its_id_alone() -> None:
    assert event_ref("a", "e1").split(".")[0] == event_ref("b", "e1").split(".")[0] == stable_hash("e1")
    assert event_ref("a", "e1") != event_ref("b", "e1")


@pytest.mark.parametrize(
    ("written", "form", "canonical"),
    [
        ("#ops", Destination.CHANNEL_NAME, "#ops"),
        ("Ops", Destination.CHANNEL_NAME, "#ops"),
        ("#größe-1", Destination.CHANNEL_NAME, "#größe-1"),
        ("C0123ABCD", Destination.CONVERSATION_ID, "C0123ABCD"),
        ("G0123ABCD", Destination.CONVERSATION_ID, "G0123ABCD"),
        ("D0123ABCD", Destination.CONVERSATION_ID, "D0123ABCD"),
        ("U0123ABCD", Destination.USER_ID, "U0123ABCD"),
        ("W0123ABCD", Destination.USER_ID, "W0123ABCD"),
        ("Ada@Example.com", Destination.EMAIL, "ada@example.com"),
        ("#Gro\u0308\u00dfe-1", Destination.CHANNEL_NAME, "#gr\u00f6\u00dfe-1"),
        ("C123", Destination.CHANNEL_NAME, None),
        ("c0123abcd", Destination.CHANNEL_NAME, None),
        ("C0123abcd", Destination.CHANNEL_NAME, None),
        ("u0123abcd", Destination.CHANNEL_NAME, None),
        ("#c0123abcd", Destination.CHANNEL_NAME, "#c0123abcd"),
        ("deployments", Destination.CHANNEL_NAME, "#deployments"),
        ("deploys2026", Destination.CHANNEL_NAME, "#deploys2026"),
        ("two words", None, None),
        ("a,b", None, None),
        ("##x", None, None),
        ("", None, None),
        ("#" + "x" * 81, None, None),
    ],
)
def test_a_destination_has_one_spelling(written: str, form: Destination | None, canonical: str | None) -> None:
    assert destination_form(written) is form
    assert canonical_destination(f" {written} ") == canonical


@given(st.text())
def test_the_normalized_spelling_of_a_destination_is_kept(written: str) -> None:
    found = canonical_destination(written)
    assert found is None or canonical_destination(found) == found


@pytest.mark.parametrize(
    ("written", "meant"),
    [("c0123abcd", "C0123ABCD"), ("#u0123abcd", "U0123ABCD"), ("#deployments", ""), ("C123", ""), ("#ops", "")],
)
def test_a_text_may_mean_an_id_in_other_letters(written: str, meant: str) -> None:
    assert id_in_capitals(written) == meant


def test_the_name_of_a_lane_is_integration_and_destination() -> None:
    assert lane_name("default", "#ops") == "default/#ops"
