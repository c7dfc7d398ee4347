"""Bodies: what a request brings as JSON, by the same rules as what comes through the stream."""

from fastapi import Request

from worker.sources.decode import Unreadable, decode_any
from worker.web.problems import Faulty

JSON_TYPES = ("application/json", "application/cloudevents+json", "application/cloudevents-batch+json")


async def json_body(request: Request) -> object:
    """The JSON value in a body. A form that a page of another site sends cannot come as one of these."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in JSON_TYPES:
        raise Faulty(
            415, f"The body is {given or 'of no type'}: send JSON with Content-Type: {JSON_TYPES[0]}."
        )
    try:
        return decode_any(await request.body())
    except Unreadable as error:
        raise Faulty(400, f"The body is no JSON: {error}.", [str(error)]) from None
