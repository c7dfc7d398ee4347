"""Integrations: missing scopes, the id of rate limits, and secrets that are never shown."""

import copy
import pickle

import pytest

from worker.domain.integration import REQUIRED_SCOPES, Identity, Integration, Secret


def test_missing_scopes_are_listed_in_the_order_of_the_guide() -> None:
    identity = Identity("T1", "Team", "https://t.slack.com/", "U1", "bot", scopes=("chat:write", "users:read"))
    assert identity.missing_scopes == ("channels:read", "groups:read", "users:read.email")
    assert Integration("i1", "default", scopes=REQUIRED_SCOPES).missing_scopes == ()


def test_the_workspace_id_is_the_integrations_own_until_the_team_is_known() -> None:
    assert Integration("i1", "default").workspace_id == "i1"
    assert Integration("i1", "default", team_id="T1").workspace_id == "T1"


def test_a_secret_is_not_in_its_repr() -> None:
    secret = Secret("xoxb-hidden")
    assert secret.reveal() == "xoxb-hidden"
    assert "hidden" not in f"{secret} {secret!r} {[secret]} {secret:}"
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize("copying", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_cannot_be_pickled_or_copied(copying: object) -> None:
    assert callable(copying)
    with pytest.raises(TypeError) as caught:
        copying(Secret("xoxb-hidden"))
    assert "hidden" not in str(caught.value)


def test_secrets_are_equal_when_their_texts_are() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


@pytest.mark.parametrize(
    ("url", "ts", "link"),
    [
        ("https://acme.example/", "1700000000.000100", "https://acme.example/archives/C1/p1700000000000100"),
        ("https://acme.example/", "", ""),
        ("", "1700000000.000100", ""),
    ],
)
def test_the_link_to_a_message_needs_the_workspace_and_a_receipt(url: str, ts: str, link: str) -> None:
    assert Integration(id="acme", name="acme", url=url).message_url("C1", ts) == link
