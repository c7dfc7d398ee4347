"""What the Slack app must be granted, why, and the manifest that asks for exactly that."""

from collections.abc import Collection
from dataclasses import dataclass

from worker.domain.integration import REQUIRED_SCOPES


@dataclass(frozen=True, slots=True)
class Grant:
    """A scope in Slack's own words, as its settings show them, and what this program does with it."""

    scope: str
    description: str
    reason: str


GRANTS = (
    Grant(
        "channels:read",
        "View basic information about public channels in a workspace",
        "finds a public channel by its name and sees whether the bot is a member",
    ),
    Grant("chat:write", "Send messages as @InfraKitchen", "posts, and edits what it posted"),
    Grant(
        "groups:read",
        "View basic information about private channels that InfraKitchen has been added to",
        "finds a private channel by its name",
    ),
    Grant("users:read", "View people in a workspace", "Slack grants users:read.email only together with it"),
    Grant(
        "users:read.email",
        "View email addresses of people in a workspace",
        "finds the person behind an email address",
    ),
)

_MANIFEST = """\
# Slack: https://api.slack.com/apps > Create New App > From a manifest
display_information:
  name: InfraKitchen
  description: Tells channels and people what happens in InfraKitchen
features:
  app_home:
    messages_tab_enabled: true  # without it, the app can send nobody a direct message
    messages_tab_read_only_enabled: true
  bot_user:
    display_name: InfraKitchen
    always_online: true
oauth_config:
  scopes:
    bot:
{scopes}
settings:
  org_deploy_enabled: false
  socket_mode_enabled: false
  token_rotation_enabled: false  # with it, a token would expire every 12 hours
"""


def missing(granted: Collection[str]) -> tuple[Grant, ...]:
    """Which of the five were not granted, in the guide's order."""
    return tuple(grant for grant in GRANTS if grant.scope not in granted)


def manifest() -> str:
    """The Slack app's manifest as YAML: https://api.slack.com/reference/manifests"""
    reasons = {grant.scope: grant.reason for grant in GRANTS}
    return _MANIFEST.format(
        scopes="\n".join(f"      - {scope}  # {reasons[scope]}" for scope in REQUIRED_SCOPES)
    )
