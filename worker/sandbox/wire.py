"""HTTP on Slack's side: a request's arguments and token, and answers, whole or spoilt by a fault."""

import asyncio
import json
import socket
import struct

from aiohttp import web

from worker.sandbox.calls import Answer, Refused
from worker.sandbox.faults import Fault
from worker.sandbox.state import Json

GATEWAY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
SPOILT = {
    "http_500": (500, "text/plain", "Internal Server Error"),
    "http_502_html": (502, "text/html", GATEWAY_PAGE),
    "http_503_text": (503, "text/plain", "Service Unavailable"),
    "bad_json": (200, "application/json", "upstream connect error or disconnect/reset before headers"),
    "empty_body": (200, "application/json", ""),
    "json_list": (200, "application/json", "[]"),
}


async def read_arguments(request: web.Request, reads: bool) -> tuple[Json, str, str]:
    """A call's arguments, its token, and the warning Slack gives about its form. Raises Refused."""
    args: Json = dict(request.query)
    warning = ""
    if request.method == "POST" and request.can_read_body:
        match request.content_type:
            case "application/json":
                given = _object(await request.read())
                args = args if reads else {**args, **given}
                warning = "" if request.charset else "missing_charset"
            case "application/x-www-form-urlencoded" | "multipart/form-data":
                args |= {name: str(value) for name, value in (await request.post()).items()}
            case _:
                raise Refused("invalid_post_type")
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    field = str(args.pop("token", ""))
    return args, (bearer.strip() if scheme == "Bearer" else "") or field, warning


def told(answer: Answer) -> web.Response:
    """An answer as Slack sends it: 200 whatever it says, or 429 with whole seconds to wait."""
    if answer.retry_after_s:
        return _too_fast(answer.retry_after_s, answer.headers)
    return _response(200, "application/json", json.dumps(answer.body), answer.headers)


async def spoil(
    request: web.Request, response: web.Response, fault: Fault, closing: asyncio.Event
) -> web.Response:
    """What the caller gets instead of (or long before) the answer."""
    if fault.name in SPOILT:
        return _response(*SPOILT[fault.name])
    match fault.name:
        case "ratelimited":
            return _too_fast(fault.retry_after_s, {})
        case "truncated_json":
            text = response.text or ""
            return _response(200, "application/json", text[: len(text) // 2])
        case "slow":
            await pause(fault.delay_s, closing)
            return response
        case "hang":
            await pause(fault.delay_s, closing)
            _drop(request, reset=False)
        case "reset_before" | "reset_after":
            _drop(request, reset=True)
        case "close_before" | "close_after":
            _drop(request, reset=False)
        case code:
            return told(Answer({"ok": False, "error": code}))
    return response


async def pause(delay_s: float, closing: asyncio.Event) -> None:
    """Wait, but no longer than the server lives."""
    if delay_s > 0:
        try:
            async with asyncio.timeout(delay_s):
                await closing.wait()
        except TimeoutError:
            pass


def _drop(request: web.Request, *, reset: bool) -> None:
    """End the connection without an answer: by RST, or quietly."""
    if (transport := request.transport) is None:
        return
    if reset and (connection := transport.get_extra_info("socket")) is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _too_fast(retry_after_s: float, headers: dict[str, str]) -> web.Response:
    body = json.dumps({"ok": False, "error": "ratelimited"})
    return _response(429, "application/json", body, {**headers, "Retry-After": str(int(retry_after_s))})


def _object(body: bytes) -> Json:
    try:
        given = json.loads(body)
    except ValueError:
        raise Refused("invalid_json") from None
    if not isinstance(given, dict):
        raise Refused("json_not_object")
    return given


def _response(
    status: int, content_type: str, text: str, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(status=status, content_type=content_type, charset="utf-8", text=text, headers=headers)
