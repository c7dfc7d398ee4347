"""Integrations: what they are missing, what pace is counted per, and a secret that never shows."""

import copy
import pickle

import pytest

from worker.domain.integration import REQUIRED_SCOPES, Identity, Integration, Secret


def test_missing_scopes_are_named_in_the_guides_order() -> None:
    identity = Identity(
        "T1", "Team", "https://t.slack.com/", "U1", "bot", scopes=("chat:write", "users:read")
    )
    assert identity.missing_scopes == ("channels:read", "groups:read", "users:read.email")
    assert Integration("i1", "default", scopes=REQUIRED_SCOPES).missing_scopes == ()


def test_pace_is_counted_per_workspace_once_it_is_known() -> None:
    assert Integration("i1", "default").workspace == "i1"
    assert Integration("i1", "default", team_id="T1").workspace == "T1"


def test_a_secret_never_shows_itself() -> None:
    secret = Secret("xoxb-hidden")
    assert secret.reveal() == "xoxb-hidden"
    assert "hidden" not in f"{secret} {secret!r} {[secret]} {secret:}"
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize("copying", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_not_copied_anywhere(copying: object) -> None:
    assert callable(copying)
    with pytest.raises(TypeError) as caught:
        copying(Secret("xoxb-hidden"))
    assert "hidden" not in str(caught.value)


def test_secrets_compare_by_what_they_hold() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
