"""Slack app manifest, and the reason for each scope that it requests."""

from pathlib import Path
from typing import NamedTuple


class Grant(NamedTuple):
    """A scope and what it is needed for."""

    scope: str
    description: str  #: Slack's own words, as the settings of the app show them.
    reason: str  #: What this program does with it.


_PUBLIC = "View basic information about public channels in a workspace"
_PRIVATE = "View basic information about private channels that InfraKitchen has been added to"
GRANTS = (
    Grant("channels:read", _PUBLIC, "finds a public channel by name and checks whether the bot is a member"),
    Grant("chat:write", "Send messages as @InfraKitchen", "posts messages and edits its own"),
    Grant("groups:read", _PRIVATE, "finds a private channel by name"),
    Grant("users:read", "View people in a workspace", "Slack grants users:read.email only together with it"),
    Grant("users:read.email", "View email addresses of people in a workspace", "finds a user by e-mail address"),
)


def manifest() -> str:
    """Return the manifest as YAML, see https://api.slack.com/reference/manifests."""
    scopes = "\n".join(f"      - {grant.scope}  # {grant.reason}" for grant in GRANTS)
    return Path(__file__).with_suffix(".yaml").read_text().format(scopes=scopes)
