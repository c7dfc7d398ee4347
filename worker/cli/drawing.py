"""A message drawn in a terminal as Slack would draw it; nothing in it can steer the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.rule import Rule
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from worker.sandbox import parts
from worker.sandbox.parts import Code, Link, Mention, Moment, Part, Parts, Styled
from worker.slack.limits import objects

_PLAIN, _SMALL = Style(), Style(dim=True)
_STYLES = {
    parts.Style.BOLD: Style(bold=True),
    parts.Style.ITALIC: Style(italic=True),
    parts.Style.STRUCK: Style(strike=True),
    parts.Style.QUOTE: _PLAIN,
}
_CODE, _LINK = Style(color="red", dim=False), Style(color="blue", underline=True, dim=False)
_MENTION, _EVERYONE = Style(color="blue", bold=True), Style(color="yellow", bold=True)


@dataclass(frozen=True, slots=True)
class Beside:
    """What stands beside a coloured bar, or is indented."""

    inside: RenderableType
    colour: str | None = None
    sign: str = "▌ "

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = options.update(width=max(options.max_width - len(self.sign), 1))
        for line in console.render_lines(self.inside, room, pad=False):
            yield Segment(self.sign, Style(color=self.colour))
            yield from line
            yield Segment.line()


@dataclass(frozen=True, slots=True)
class Drawing:
    """Draws texts and blocks; where links cannot be followed (not `linking`) their addresses are written."""

    now: datetime
    linking: bool = True

    def message(self, sent: Mapping[str, object]) -> RenderableType:
        """What `chat.postMessage` is sent: blocks, then those beside the bar; without any, the text."""
        drawn = self._blocks(sent.get("blocks"))
        for attachment in objects(sent.get("attachments")):
            inside = Group(*_spaced(self._blocks(attachment.get("blocks"))))
            drawn.append(Beside(inside, str(attachment.get("color") or "#dddddd")))
        return Group(*_spaced(drawn or [self.text(sent.get("text"))]))

    def text(self, markup: object) -> RenderableType:
        """A text that is markup."""
        return Group(*self._shown(self._parts(str(markup or "")), _PLAIN))

    def _parts(self, markup: str) -> Parts:
        return parts.parse(markup, self.now)

    def _blocks(self, blocks: object) -> list[RenderableType]:
        return [self._block(block) for block in objects(blocks)]

    def _block(self, block: Mapping[str, object]) -> RenderableType:
        match block.get("type"):
            case "section":
                shown = [self.text(_text(block.get("text")))] if block.get("text") else []
                return Group(*shown, *self._fields(objects(block.get("fields"))))
            case "context":
                texts = [self._parts(_text(element)) for element in objects(block.get("elements"))]
                return Group(*self._shown([part for one in texts for part in ("   ", *one)][1:], _SMALL))
            case "divider":
                return Rule(style="dim")
            case other:
                return Text(_safe(f"({other} block, not drawn here)"), _SMALL)

    def _fields(self, fields: Sequence[Mapping[str, object]]) -> list[RenderableType]:
        """Two columns."""
        table = Table.grid(padding=(0, 2))
        for start in range(0, len(fields), 2):
            table.add_row(*(self.text(_text(field)) for field in fields[start : start + 2]))
        return [table] if fields else []

    def _shown(self, some: Sequence[Part], style: Style) -> list[RenderableType]:
        """Running text, and between it what stands on lines of its own."""
        shown: list[RenderableType] = []
        text = Text()
        for part in some:
            if isinstance(part, Code) and part.block:
                own: RenderableType = Panel(
                    Text(_safe(part.text.strip("\n"))), box=box.ROUNDED, border_style="dim", expand=False
                )
            elif isinstance(part, Styled) and part.style is parts.Style.QUOTE:
                own = Beside(Group(*self._shown(part.inside, style)), "bright_black", "│ ")
            else:
                self._append(text, part, style)
                continue
            shown += [text, own] if text else [own]
            text = Text()
        return [*shown, text] if text or not shown else shown

    def _append(self, text: Text, part: Part, style: Style) -> None:
        match part:
            case str():
                text.append(_safe(part), style)
            case Styled(own, inside):
                for each in inside:
                    self._append(text, each, style + _STYLES[own])
            case Code(code):
                text.append(_safe(code), style + _CODE)
            case Link(url, inside):
                address = "".join(_safe(url).split())
                for each in inside:
                    self._append(text, each, style + _LINK + Style(link=address if self.linking else None))
                if not self.linking:
                    text.append(f" ({address})", style + Style(dim=True))
            case Mention(name, everyone):
                text.append(_safe(name), style + (_EVERYONE if everyone else _MENTION))
            case Moment(shown):
                text.append(_safe(shown), style)


def _spaced(drawn: Sequence[RenderableType]) -> list[RenderableType]:
    """With an empty line between each two."""
    return [one for each in drawn for one in ("", each)][1:]


def _safe(text: str) -> str:
    """Without anything that could move the cursor or change the terminal."""
    kept = (sign if sign.isprintable() or sign == "\n" else " " if sign.isspace() else "" for sign in text)
    return "".join(kept)


def _text(value: object) -> str:
    return str(value.get("text") or "") if isinstance(value, dict) else ""
