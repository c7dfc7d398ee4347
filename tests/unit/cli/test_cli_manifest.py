"""`ik-slack manifest`: the manifest requests exactly the required scopes."""

import yaml
from support.cli import Shell

from worker.domain.integration import REQUIRED_SCOPES


def test_the_manifest_is_yaml_with_exactly_the_five_scopes(shell: Shell) -> None:
    ended = shell("manifest")
    assert ended.code == 0
    assert yaml.safe_load(ended.out)["oauth_config"]["scopes"]["bot"] == list(REQUIRED_SCOPES)
