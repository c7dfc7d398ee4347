"""`ik-slack subscriptions apply` and `export`: all subscriptions as one file."""

from dataclasses import replace
from typing import IO, TYPE_CHECKING

import click

from worker.asking.changing import change_subscriptions, discarded
from worker.asking.choosing import chosen_integration, every_rule, with_integration
from worker.asking.moments import moment_ms
from worker.asking.reaching import warnings
from worker.asking.rules import subscription_of
from worker.asking.wording import count
from worker.cli.files import file_argument, text_of
from worker.cli.planning import Plan, plan, read_rules, without_past
from worker.cli.running import as_json, print_json, run
from worker.cli.showing import warn

if TYPE_CHECKING:
    from worker.bootstrap import Services

HEAD = "# All subscriptions. Change them here, then: ik-slack subscriptions apply FILE --prune\n"
OTHER_BREAKS = frozenset("\x85\u2028\u2029")  # as they are, YAML would read the end of a line


@click.command()
@file_argument
@click.option("--prune", is_flag=True, help="Remove subscriptions that are not in the file.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@as_json
def apply(file: IO[bytes], prune: bool, dry_run: bool, as_json: bool) -> None:
    """Make the subscriptions those of a file.

    The form is that of `export`. If one is wrong, none is changed. A subscription is known by its id, or
    without one by its destination and filters. The names are those of
    the options of `add`; only the destination is needed.

    \b
    - destination: '#ops'
      kind: alert
      min_severity: error
    - destination: ada@example.com
      project: [shop, search]
    """
    wanted = read_rules(text_of(file))

    async def work(made: "Services") -> tuple[Plan, int, list[str]]:
        now_ms = await made.server.now_ms()
        named = [
            with_integration(
                without_past(rule, now_ms), await chosen_integration(made, rule.integration or None)
            )
            for rule in wanted
        ]
        planned = plan(named, await every_rule(made))
        if dry_run:
            return planned, 0, []
        lost = await _carry_out(made, planned, prune=prune)
        return planned, lost, await _warnings(made, planned)

    planned, lost, said = run(work)
    if as_json:
        print_json(_plain(planned, lost, prune=prune, dry_run=dry_run))
    else:
        _tell(planned, lost, prune=prune, dry_run=dry_run)
    warn(said)


@click.command()
@as_json
def export(as_json: bool) -> None:
    """Print all subscriptions, for `apply`.

    Applying what was just exported changes nothing.

    \b
    ik-slack subscriptions export > subscriptions.yaml
    """
    found = run(every_rule)
    if as_json:
        print_json([rule.model_dump() for rule in found])
        return
    written = [
        {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}
        for kept in (rule.model_dump(exclude_defaults=True) for rule in found)
    ]
    click.echo(HEAD + _yaml(written), nl=False)


def _yaml(value: object) -> str:
    """As people write it: a text of several lines, a template, stands below its name as it is."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, found: str) -> yaml.ScalarNode:
        style = "|" if "\n" in found else None
        return dumper.represent_scalar(
            "tag:yaml.org,2002:str", found, style if OTHER_BREAKS.isdisjoint(found) else '"'
        )

    Dumper.add_representer(str, text)
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)


async def _carry_out(made: "Services", planned: Plan, *, prune: bool) -> int:
    """Write it in one step: how many deliveries of removed subscriptions were discarded."""
    stored = {one.id: one for one in await made.subscriptions.all()}
    now_ms = await made.server.now_ms()
    saved = []
    for place, rule in enumerate((*(new for _, new in planned.changed), *planned.added)):
        born_ms = stored[rule.id].created_at_ms if rule.id in stored else now_ms + place
        integration = await made.integrations.find(rule.integration)
        new = subscription_of(rule, rule.id, integration.id, born_ms)
        before = stored.get(rule.id, new)
        kept = replace(new, muted_from_ms=before.muted_from_ms, muted_until_ms=before.muted_until_ms)
        saved.append(kept.muted(moment_ms(rule.muted_until) if rule.muted_until else 0, now_ms))
    gone = [stored[rule.id] for rule in planned.left if rule.id in stored] if prune else []
    return await change_subscriptions(made, save=saved, gone=gone)


async def _warnings(made: "Services", planned: Plan) -> list[str]:
    """About destinations that are new."""
    new = [*planned.added, *(after for before, after in planned.changed if before.told[:2] != after.told[:2])]
    said: list[str] = []
    for name in sorted({rule.integration for rule in new}):
        destinations = sorted({rule.destination for rule in new if rule.integration == name})
        said += await warnings(made, await made.integrations.find(name), destinations)
    return said


def _tell(planned: Plan, lost: int, *, prune: bool, dry_run: bool) -> None:
    """What was changed, a line each, and a last one that sums up."""
    for rule in planned.added:
        click.echo(f"+ {'new' if dry_run else rule.id}: {rule.filters} to {rule.destination}")
    for before, after in planned.changed:
        differences = before.differences(after).items()
        words = "; ".join(_difference(name, old, new) for name, (old, new) in differences)
        click.echo(f"~ {after.id}: {words}")
    removed = planned.left if prune else ()
    for rule in removed:
        click.echo(f"- {rule.id}: {rule.filters} to {rule.destination}")
    parts = [
        f"{number} {word}"
        for number, word in (
            (len(planned.added), "added"),
            (len(planned.changed), "changed"),
            (len(removed), "removed"),
        )
        if number
    ]
    summary = ", ".join(parts) or "Nothing to change"
    kept = f", {planned.unchanged} as before" if planned.unchanged else ""
    click.echo(f"{'Would be: ' if dry_run and parts else ''}{summary}{kept}.{discarded(lost)}")
    if planned.left and not prune:
        ids = ", ".join(rule.id for rule in planned.left)
        click.echo(
            f"{count(len(planned.left), 'subscription')} not in the file stay (--prune removes them): {ids}."
        )


def _plain(planned: Plan, lost: int, *, prune: bool, dry_run: bool) -> dict[str, object]:
    left = [rule.model_dump() for rule in planned.left]
    return {
        "dry_run": dry_run,
        "added": [rule.model_dump() for rule in planned.added],
        "changed": [{"before": old.model_dump(), "after": new.model_dump()} for old, new in planned.changed],
        "removed": left if prune else [],
        "not_in_file": [] if prune else left,
        "unchanged": planned.unchanged,
        "discarded": lost,
    }


def _difference(name: str, old: object, new: object) -> str:
    if name == "template":
        return f"{name}: {'changed' if old and new else 'added' if new else 'removed'}"
    return f"{name}: {_word(old)} → {_word(new)}"


def _word(value: object) -> str:
    return " or ".join(map(str, value)) or "any" if isinstance(value, tuple) else str(value or "none")
