"""The attributes every CloudEvent has, checked: without them there is no event."""

from typing import Annotated, Self

from pydantic import ConfigDict, StringConstraints, ValidationError

from worker.sources.decode import Fields, Unreadable
from worker.sources.lenient import Lenient, Moment, Text

Name = Annotated[str, StringConstraints(strict=True, min_length=1)]


class Envelope(Lenient):
    """The attributes that are used; `entry_id` is the event's place in the stream."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    entry_id: str
    id: Name
    source: Name
    type: Name
    time: Moment = None
    subject: Text = ""

    @classmethod
    def of(cls, fields: Fields, entry_id: str) -> Self:
        """The envelope of a decoded CloudEvent; raises Unreadable naming the attribute at fault."""
        try:
            return cls.model_validate({**fields, "entry_id": entry_id})
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            reason = "missing" if fault["type"] == "missing" else "must be a text that is not empty"
            raise Unreadable(f"{fault['loc'][0]}: {reason}") from None
