"""What can be wrong with a subscription's template, and where in it."""

MOST_BYTES = 16 * 1024
"""The longest template that is kept."""


class TemplateFault(Exception):
    """Why a template gives no message: `reason` in words, `line` of the template, 0 when it is no line's."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(f"{reason}, line {line}" if line else reason)
        self.reason = reason
        self.line = line
