"""Template validation: a template is tested on sample events before it is saved."""

from collections.abc import Collection
from functools import cache
from pathlib import Path

from worker import sources
from worker.domain.errors import TEMPLATE_MAX_BYTES, TemplateError
from worker.domain.event import Event
from worker.domain.message_plan import Line, MessageContent
from worker.publish import encode
from worker.rendering.message_builder import MessageBuilder
from worker.slack.blocks import rejection_reason
from worker.templating.renderer_process import shared_renderer


def validate_template(value: object, kinds: Collection[str] = ()) -> str:
    """Return a template, tested on samples of `kinds` or of all. Raises ValueError with what is wrong and its line."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text; put it in quotes")  # noqa: TRY004  # pydantic collects ValueErrors
    template = value.replace("\r\n", "\n")
    if not template:
        return ""
    if not template.strip():
        raise ValueError("is empty")
    if (size := len(template.encode())) > TEMPLATE_MAX_BYTES:
        raise ValueError(f"has {size:,} bytes, at most {TEMPLATE_MAX_BYTES:,} are allowed")
    builder = MessageBuilder(rejection_reason, shared_renderer(), "https://infrakitchen.example.com")
    tested_on = ""
    try:
        builder.renderer.check(template)
        for name, event in _samples():
            if not kinds or event.kind in kinds:
                tested_on = f" (tested on {name} event)"
                builder.build_from_template(template, MessageContent((Line(event, name),)), is_strict=True)
    except TemplateError as error:
        reason = f"{error.reason}{tested_on}"
        raise ValueError(f"line {error.line}: {reason}" if error.line else reason) from None
    return template


@cache
def _samples() -> tuple[tuple[str, Event], ...]:
    """Return the sample events with their names."""
    import yaml  # imported here, because most commands validate no template

    samples = yaml.safe_load(Path(__file__).with_name("template_samples.yaml").read_text())
    envelope = {"specversion": "1.0", "source": "/samples"}
    bodies = {name: {**envelope, "id": name, **sample} for name, sample in samples.items()}
    return tuple((name, sources.parse(encode(body), "1767262000000-0")) for name, body in bodies.items())
