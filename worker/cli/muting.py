"""`ik-slack subscriptions mute` and `unmute`: silence that ends by itself."""

from typing import TYPE_CHECKING

import click

from worker.asking.subscribing import end_of_mute_ms, set_muted
from worker.asking.wording import when
from worker.cli.running import run

if TYPE_CHECKING:
    from worker.bootstrap import Services

some_ids = click.argument("subscription_ids", metavar="ID...", nargs=-1, required=True)


@click.command()
@some_ids
@click.option("--for", "span", metavar="SPAN", help="Such as 30m, 2h, 3d or 1h30m.")
@click.option("--until", metavar="TIME", help="Such as '2026-11-25 08:00' or 08:00, by this machine's clock.")
def mute(subscription_ids: tuple[str, ...], span: str | None, until: str | None) -> None:
    """Tell nothing of what comes until then; what waits already is still told.

    \b
    ik-slack subscriptions mute sub-1a2b3c4d --for 2h
    ik-slack subscriptions mute sub-1a2b3c4d --until '2026-11-25 08:00'
    """
    if (span is None) == (until is None):
        raise click.UsageError("Say how long: either --for SPAN or --until TIME.")

    async def work(made: "Services") -> int:
        now_ms = await made.server.now_ms()
        until_ms = _end_ms(span, until, now_ms)
        await set_muted(made, subscription_ids, until_ms, now_ms)
        return until_ms

    click.echo(f"Muted {', '.join(subscription_ids)} until {when(run(work))}.")


@click.command()
@some_ids
def unmute(subscription_ids: tuple[str, ...]) -> None:
    """Tell what comes from now on."""

    async def work(made: "Services") -> None:
        await set_muted(made, subscription_ids, 0, await made.server.now_ms())

    run(work)
    click.echo(f"Unmuted {', '.join(subscription_ids)}.")


def _end_ms(span: str | None, until: str | None, now_ms: int) -> int:
    """UsageError when it cannot be meant."""
    try:
        return end_of_mute_ms(span, until, now_ms)
    except ValueError as error:
        raise click.UsageError(f"{'--for' if span is not None else '--until'}: {error}.") from None
