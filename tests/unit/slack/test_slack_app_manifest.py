"""The manifest requests exactly the scopes that are required."""

import yaml

from worker.domain.integration import REQUIRED_SCOPES
from worker.slack.app_manifest import GRANTS, manifest


def test_every_required_scope_is_explained_and_no_other() -> None:
    assert tuple(grant.scope for grant in GRANTS) == REQUIRED_SCOPES
    assert all(grant.description and grant.reason for grant in GRANTS)


def test_the_manifest_requests_exactly_the_five_scopes() -> None:
    app = yaml.safe_load(manifest())
    assert app["oauth_config"]["scopes"] == {"bot": list(REQUIRED_SCOPES)}


def test_the_manifest_makes_a_bot_that_can_send_direct_messages_and_whose_token_lasts() -> None:
    app = yaml.safe_load(manifest())
    assert app["features"]["bot_user"]["display_name"] == "InfraKitchen"
    assert app["features"]["app_home"]["messages_tab_enabled"] is True
    assert app["settings"]["token_rotation_enabled"] is False


def test_the_manifest_keeps_slacks_limits() -> None:
    shown = yaml.safe_load(manifest())["display_information"]
    assert len(shown["name"]) <= 35
    assert len(shown["description"]) <= 140
