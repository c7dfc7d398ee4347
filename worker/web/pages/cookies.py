"""Cookies: who a browser is. One for whoever comes, one more for who has logged in.

The second is never set but at a login, so nothing that comes without it (a link in Slack, which strict
cookies do not go with) can end a session. Either is for TLS alone when the browser itself says that it came
that way.
"""

from fastapi import Request

VISITOR, SESSION = "ik_slack_visitor", "ik_slack"
_TLS = "__Host-"


def cookie(request: Request, name: str) -> str:
    """What the browser brought; empty when nothing."""
    return request.cookies.get(f"{_TLS}{name}") or request.cookies.get(name) or ""


def cookie_header(request: Request, name: str, value: str) -> str:
    """The header that sets it for as long as the browser is open."""
    is_tls = request.headers.get("origin", "").lower().startswith("https://")
    prefix, secure = (_TLS, "; Secure") if is_tls else ("", "")
    return f"{prefix}{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}"


def forgetting_headers(name: str) -> list[str]:
    """The headers that make the browser forget it, however it was set."""
    gone = "; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
    return [f"{name}={gone}", f"{_TLS}{name}={gone}; Secure"]
