"""The page that shows the sandbox's messages as Slack would."""

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from worker.sandbox.slack import SlackSandbox


def routes(_sandbox: "SlackSandbox") -> list[web.RouteDef]:
    """The routes of the page."""
    return []
