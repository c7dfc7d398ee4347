"""Limits of a request: its time and the size of its body."""

import asyncio
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from worker.web.request_limits import MAX_BODY_BYTES, RequestLimits

PATH = "/api/v1/subscriptions"


class OneRequest:
    """One request to a small application of the test."""

    def __init__(self, *parts: bytes, path: str = PATH, length: str = "") -> None:
        headers = [(b"content-length", length.encode())] if length else []
        self.scope = {"type": "http", "path": path, "headers": headers}
        self._parts = list(parts)
        self.sent: list[Any] = []

    async def receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": self._parts.pop(0), "more_body": bool(self._parts)}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def to(self, app: Any, request_s: float = 30.0) -> list[Any]:
        await RequestLimits(app, request_s=request_s)(self.scope, self.receive, self.send)
        return self.sent


async def reads_all(scope: Any, receive: Any, send: Any) -> None:
    more = True
    while more:
        more = (await receive())["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def never_ends(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


async def begins_and_never_ends(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await asyncio.Event().wait()


async def fails_by_itself(scope: Any, receive: Any, send: Any) -> None:
    raise TimeoutError


async def test_a_request_that_takes_too_long_is_503() -> None:
    start, body = await OneRequest().to(never_ends, request_s=0)
    assert start["status"] == 503
    assert (b"content-type", b"application/problem+json") in start["headers"]
    assert b"try again" in body["body"]


async def test_a_response_that_takes_too_long_is_aborted() -> None:
    asked = OneRequest()
    with pytest.raises(TimeoutError):
        await asked.to(begins_and_never_ends, request_s=0)
    assert len(asked.sent) == 1


async def test_a_timeout_of_the_application_is_raised_unchanged() -> None:
    with pytest.raises(TimeoutError):
        await OneRequest().to(fails_by_itself)


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    assert (await OneRequest(b"x" * MAX_BODY_BYTES, length=str(MAX_BODY_BYTES)).to(reads_all))[0]["status"] == 200


@pytest.mark.parametrize(
    "asked",
    [
        OneRequest(b"", length=str(MAX_BODY_BYTES + 1)),
        OneRequest(b"x" * MAX_BODY_BYTES, b"x"),
        OneRequest(b"x" * (8 * MAX_BODY_BYTES), b"x", path="/webhooks/alertmanager"),
    ],
)
async def test_a_body_one_byte_over_the_limit_is_413(asked: OneRequest) -> None:
    with pytest.raises(HTTPException) as caught:
        await asked.to(reads_all)
    assert caught.value.status_code == 413
    assert asked.sent == []


async def test_events_and_webhooks_have_larger_body_limits() -> None:
    for path in ("/api/v1/events", "/webhooks/grafana"):
        assert (await OneRequest(b"x" * (8 * MAX_BODY_BYTES), path=path).to(reads_all))[0]["status"] == 200


async def test_forms_of_pages_have_body_limits_of_their_own() -> None:
    assert (await OneRequest(b"x" * (9 * MAX_BODY_BYTES), path="/login").to(reads_all))[0]["status"] == 200
