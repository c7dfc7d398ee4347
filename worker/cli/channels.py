"""`ik-slack channels`: the directory of a workspace's channels, as last read."""

from typing import TYPE_CHECKING

import click

from worker.asking.choosing import chosen_integration
from worker.asking.rows import plain_channel
from worker.asking.wording import count
from worker.cli.refreshing import read_now
from worker.cli.running import as_json, print_json, print_table, run
from worker.domain.integration import Conversation, Integration
from worker.domain.markup import duration
from worker.store.directory import Known

if TYPE_CHECKING:
    from worker.bootstrap import Services

Listed = tuple[Integration, list[Conversation], Known]


@click.group()
def command() -> None:
    """See which channels there are, and where the bot is a member.

    \b
    ik-slack channels list --member
    ik-slack channels refresh
    """


@command.command("list")
@click.argument("integration", required=False)
@click.option("--member", is_flag=True, help="Only channels the bot is a member of.")
@as_json
def list_(integration: str | None, member: bool, as_json: bool) -> None:
    """The channels of INTEGRATION, or of all, as last read."""

    async def work(made: "Services") -> list[Listed]:
        one = [await made.integrations.find(integration)] if integration else await made.integrations.all()
        return [
            (each, await made.directory.all(each.id), await made.directory.known(each.id)) for each in one
        ]

    listed = run(work)
    found = [
        (each, channel)
        for each, channels, _ in listed
        for channel in channels
        if channel.is_member or not member
    ]
    if as_json:
        print_json([plain_channel(each, channel) for each, channel in found])
        return
    rows = [
        (
            f"#{channel.name}",
            channel.id,
            each.name,
            "private" if channel.is_private else "public",
            "archived" if channel.is_archived else "member" if channel.is_member else "not a member",
        )
        for each, channel in found
    ]
    empty = "No channel to show." if listed else "There is no integration yet."
    print_table(("Name", "Id", "Integration", "Kind", "Bot"), rows, empty=empty)
    for each, channels, known in listed:
        click.echo(_age(each, len(channels), known))


@command.command()
@click.argument("integration", required=False)
@as_json
def refresh(integration: str | None, as_json: bool) -> None:
    """Read the channels of INTEGRATION from Slack now.

    Slack allows about 20 pages of 999 channels a minute. While a worker reads, its reading is waited for.
    After Ctrl-C the next reading goes on where this one stopped.
    """

    async def work(made: "Services") -> tuple[Integration, int, int]:
        chosen = await chosen_integration(made, integration)
        pages = await read_now(made, chosen)
        return chosen, pages, len(await made.directory.all(chosen.id))

    chosen, pages, channels = run(work)
    if as_json:
        print_json({"integration": chosen.name, "pages": pages, "channels": channels})
        return
    click.echo(f"Read {count(channels, 'channel')} of {chosen.name} in {count(pages, 'page')}.")


def _age(integration: Integration, channels: int, known: Known) -> str:
    """How fresh a directory is, and whether it is being read."""
    name = integration.name
    reading = "" if known.so_far is None else f"They are being read now: {known.so_far:,} so far."
    if known.age_s is not None:
        return f"{name}: {count(channels, 'channel')}, read {duration(known.age_s)} ago. {reading}".rstrip()
    some = f"{name}: {count(channels, 'channel')} known; the others were" if channels else f"{name} was"
    return f"{some} not read yet. {reading or f'Read them: `ik-slack channels refresh {name}`.'}"
