"""What was done to dead letters, as a command tells it."""

import click

from worker.asking.letters import Done, Ending
from worker.asking.wording import count
from worker.cli.showing import warn
from worker.domain.errors import Problem

SAID_ONE_BY_ONE = 20


def tell(done: Done, verb: str) -> None:
    """What was done, a line each or counted; Problem when something was not."""
    warn(done.said)
    results = done.results
    by_ending = {ending: [one for one in results if one.ending is ending] for ending in Ending}
    well = [one for one in results if one.ending in (Ending.DONE, Ending.BEFORE)]
    if len(well) > SAID_ONE_BY_ONE:
        before = len(by_ending[Ending.BEFORE])
        besides = f"; {before} were none any more" if before else ""
        click.echo(f"{count(len(by_ending[Ending.DONE]), 'dead letter')} {verb}{besides}")
    else:
        for one in well:
            click.echo(one.words)
    if not results:
        click.echo("There is no such dead letter.")
    wrong = [one.words for one in by_ending[Ending.FAILED]]
    if len(wrong) > SAID_ONE_BY_ONE:
        wrong[SAID_ONE_BY_ONE:] = [f"{len(wrong) - SAID_ONE_BY_ONE} more were not {verb}."]
    if unknown := ", ".join(one.id for one in by_ending[Ending.UNKNOWN]):
        wrong.insert(0, f"There is no dead letter {unknown}: see `ik-slack dead-letters list`.")
    if wrong:
        raise Problem(" ".join(wrong))
