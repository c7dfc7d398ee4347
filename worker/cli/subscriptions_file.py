"""`ik-slack subscriptions apply` and `export`: all subscriptions as one file."""

import contextlib
import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO

import click

from worker.cli.context import AppContext, file_argument, read_text, run
from worker.cli.output import as_json, print_json, show_progress, warn
from worker.domain.errors import UserError
from worker.domain.mrkdwn import cut
from worker.services.destinations import FEW_DESTINATIONS, find_warnings
from worker.services.formatting import parse_time_ms, pluralize
from worker.services.integrations import select_integration
from worker.services.subscription_schema import SubscriptionSpec, parse_spec, subscription_from_spec
from worker.services.subscriptions import change_subscriptions, describe_discarded, list_subscriptions

UNCHANGED = "Nothing was changed"
FILE_HEADER = "# All subscriptions. Change them here, then: ik-slack subscriptions apply FILE --prune\n"
MAX_FAULTS, MAX_FAULT = 50, 250
OTHER_BREAKS = frozenset("\x85\u2028\u2029")  # unquoted, YAML would read the end of a line


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The changes that make the stored subscriptions those of a file."""

    added: list[SubscriptionSpec]
    changed: list[tuple[SubscriptionSpec, SubscriptionSpec]]  #: Before and after.
    missing: list[SubscriptionSpec]  #: Stored, but not in the file.
    unchanged: int


@click.command()
@file_argument
@click.option("--prune", is_flag=True, help="Remove subscriptions that are not in the file.")
@click.option("--dry-run", is_flag=True, help="Show the changes without making them.")
@as_json
def apply(file: IO[bytes], prune: bool, dry_run: bool, as_json: bool) -> None:
    """Make the stored subscriptions the same as those of a file.

    FILE is YAML or JSON, as `export` prints it. Its fields have the names of the options of `add`; only the
    destination is required. A subscription is recognised by its id, or without an id by its destination and
    filters. If one subscription is wrong, none is changed, and every wrong one is named.

    \b
    - destination: '#ops'
      kind: alert
      project: [shop, search]
    """
    wanted = parse_file(read_text(file))

    async def work(app: AppContext) -> tuple[Plan, int, list[str]]:
        plan = make_plan(await _complete(app, wanted), await list_subscriptions(app))
        if dry_run:
            return plan, 0, []
        lost = await _save(app, plan, prune=prune)
        return plan, lost, await _find_warnings(app, plan)

    plan, lost, warning_lines = run(work)
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "added": plan.added,
                "changed": [{"before": old, "after": new} for old, new in plan.changed],
                "removed": plan.missing if prune else [],
                "not_in_file": [] if prune else plan.missing,
                "unchanged": plan.unchanged,
                "discarded": lost,
            }
        )
    else:
        _print_changes(plan, lost, prune=prune, dry_run=dry_run)
    warn(warning_lines)


@click.command()
@as_json
def export(as_json: bool) -> None:
    """Print all subscriptions as YAML, for `apply`. Applying an export that was not edited changes nothing."""
    subscriptions = run(list_subscriptions)
    if as_json:
        print_json(subscriptions)
        return
    values = [spec.model_dump(mode="json", exclude_defaults=True) for spec in subscriptions]
    click.echo(FILE_HEADER + to_yaml(values), nl=False)


def parse_file(text: str) -> list[SubscriptionSpec]:
    """Return the subscriptions of a file; raise UserError that names every wrong one."""
    values = _load(text)
    if not isinstance(values, list):
        reason = "is empty: write [] for no subscription" if values is None else "holds no list of subscriptions"
        raise UserError(f"{UNCHANGED}: the file {reason}. See `ik-slack subscriptions export` for the form.")
    specs: list[SubscriptionSpec] = []
    faults: dict[int, str] = {}
    numbers: dict[object, int] = {}
    for number, value in enumerate(values, 1):
        try:
            spec = parse_spec(value)
        except ValueError as error:
            faults[number] = str(error)
            continue
        identity = spec.id or json.dumps(spec.model_dump(mode="json", exclude={"id"}), sort_keys=True)
        if (first := numbers.setdefault(identity, number)) != number:
            faults[number] = f"it is the same as subscription {first}"
        specs.append(spec)
    _require_faultless(faults, len(values))
    return specs


def _require_faultless(faults: Mapping[int, str], total: int) -> None:
    """Raise UserError when there are faults: of one in a line, of several in a line each, by number in the file."""
    lines = [f"subscription {number} of the file: {cut(text, MAX_FAULT)}." for number, text in faults.items()]
    if len(lines) == 1:
        raise UserError(f"{UNCHANGED}: {lines[0]}")
    if lines:
        more = [f"… and {len(lines) - MAX_FAULTS:,} more."] if len(lines) > MAX_FAULTS else []
        summary = f"{UNCHANGED}: {len(lines):,} of {total:,} subscriptions of the file are wrong."
        raise UserError("\n  ".join((summary, *lines[:MAX_FAULTS], *more)))


async def _complete(app: AppContext, wanted: Sequence[SubscriptionSpec]) -> list[SubscriptionSpec]:
    """Return the subscriptions of a file with their integrations' names and without mutes that are over."""
    now_ms, names, faults = await app.redis.now_ms(), dict[str, str](), dict[int, str]()
    specs = []
    for number, spec in enumerate(wanted, 1):
        try:
            if spec.integration not in names:
                names[spec.integration] = (await select_integration(app, spec.integration or None)).name
        except UserError as error:
            faults[number] = str(error).removesuffix(".")
            continue
        if spec.muted_until and parse_time_ms(spec.muted_until) <= now_ms:
            spec = SubscriptionSpec(**spec.model_dump(exclude_unset=True, exclude={"muted_until"}))  # noqa: PLW2901
        specs.append(spec.model_copy(update={"integration": names[spec.integration]}))
    _require_faultless(faults, len(wanted))
    return specs


def _load(text: str) -> object:
    """Parse JSON or YAML; raise UserError with the line of an error."""
    import yaml

    try:
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(text)  # tried first: YAML does not accept the tabs that JSON may have
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UserError(f"{UNCHANGED}: the file is not YAML: {line}{error.problem}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{UNCHANGED}: the file is not YAML: {str(error).splitlines()[0]}.") from None


def make_plan(wanted: Sequence[SubscriptionSpec], stored: Sequence[SubscriptionSpec]) -> Plan:
    """Match wanted to stored subscriptions: by id, else as equal, else by the same destination and filters."""
    missing = {spec.id: spec for spec in stored}
    matches = [missing.pop(spec.id, None) for spec in wanted]
    similar = defaultdict[tuple[object, ...], list[SubscriptionSpec]](list)
    for spec in missing.values():
        similar[spec.routing_key].append(spec)
    rules: tuple[Callable[[SubscriptionSpec, SubscriptionSpec], bool], ...] = (
        lambda old, new: not old.differences(new.with_mute_of(old)),
        lambda _old, _new: True,
    )
    for is_same in rules:
        for index, new in enumerate(wanted):
            left = [old for old in similar[new.routing_key] if old.id in missing]
            match = next((old for old in left if is_same(old, new)), None) if matches[index] is None else None
            if match:
                matches[index] = missing.pop(match.id)
    added, changed = [], []
    for old, new in zip(matches, wanted, strict=True):
        if old is None:
            id_ = new.id or f"sub-{secrets.token_hex(4)}"
            added.append(new.model_copy(update={"id": id_}))
        elif old.differences(after := new.with_mute_of(old)):
            changed.append((old, after.model_copy(update={"id": old.id})))
    unchanged = len(wanted) - len(added) - len(changed)
    return Plan(added=added, changed=changed, missing=list(missing.values()), unchanged=unchanged)


async def _save(app: AppContext, plan: Plan, *, prune: bool) -> int:
    """Save the changes in one transaction and return how many pending deliveries were discarded."""
    stored = {subscription.id: subscription for subscription in await app.subscriptions.list_all()}
    now_ms = await app.redis.now_ms()
    names = {spec.integration for spec in (*(new for _, new in plan.changed), *plan.added)}
    integration_ids = {name: (await app.integrations.find(name)).id for name in names}
    saved = []
    for number, spec in enumerate((*(new for _, new in plan.changed), *plan.added)):
        created_at_ms = stored[spec.id].created_at_ms if spec.id in stored else now_ms + number
        new = subscription_from_spec(spec, spec.id, integration_ids[spec.integration], created_at_ms)
        old = stored.get(spec.id, new)
        muted = replace(new, muted_from_ms=old.muted_from_ms, muted_until_ms=old.muted_until_ms)
        saved.append(muted.with_mute(parse_time_ms(spec.muted_until) if spec.muted_until else 0, now_ms))
    removed = [stored[spec.id] for spec in plan.missing if spec.id in stored] if prune else []
    return await change_subscriptions(app, save=saved, remove=removed)


async def _find_warnings(app: AppContext, plan: Plan) -> list[str]:
    """Return the warnings about new destinations."""
    changed = (
        after for before, after in plan.changed
        if before.integration != after.integration or before.fixed_destinations != after.fixed_destinations
    )  # fmt: skip
    new = [*plan.added, *changed]
    lines: list[str] = []
    for name in sorted({spec.integration for spec in new}):
        destinations = sorted(
            {written for spec in new if spec.integration == name for written in spec.fixed_destinations}
        )

        def show_pages(pages: int, channels: int, name: str = name) -> None:
            show_progress(f"Reading the channels of {name}: page {pages}, {channels:,} channels so far")

        if len(destinations) > FEW_DESTINATIONS:
            show_progress(f"Checking {len(destinations):,} destinations of {name}")
        try:
            lines += await find_warnings(app, await app.integrations.find(name), destinations, progress=show_pages)
        finally:
            show_progress("")
    return lines


def _print_changes(plan: Plan, lost: int, *, prune: bool, dry_run: bool) -> None:
    """Print a line for each change, and a summary."""
    for spec in plan.added:
        click.echo(f"+ {'new' if dry_run else spec.id}: {spec.filters} to {spec.destination}")
    for before, after in plan.changed:
        differences = (_describe_difference(name, *values) for name, values in before.differences(after).items())
        click.echo(f"~ {after.id}: {'; '.join(differences)}")
    removed = plan.missing if prune else []
    for spec in removed:
        click.echo(f"- {spec.id}: {spec.filters} to {spec.destination}")
    counts = {"added": len(plan.added), "changed": len(plan.changed), "removed": len(removed)}
    parts = [f"{number} {word}" for word, number in counts.items() if number]
    unchanged = f", {plan.unchanged} unchanged" if plan.unchanged else ""
    prefix = "Would be: " if dry_run and parts else ""
    click.echo(f"{prefix}{', '.join(parts) or 'Nothing to change'}{unchanged}.{describe_discarded(lost)}")
    if plan.missing and not prune:
        number = pluralize(len(plan.missing), "subscription is not in the file", "subscriptions are not in the file")
        click.echo(f"{number} and kept (--prune removes them): {', '.join(spec.id for spec in plan.missing)}.")


def _describe_difference(name: str, old: object, new: object) -> str:
    if name == "template":
        return f"{name}: {'changed' if old and new else 'added' if new else 'removed'}"
    return f"{name}: {_describe_value(old)} → {_describe_value(new)}"


def _describe_value(value: object) -> str:
    return " or ".join(map(str, value)) or "any" if isinstance(value, tuple) else str(value or "none")


def to_yaml(value: object) -> str:
    """Return YAML in which a text of several lines, such as a template, is a block."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = "|" if "\n" in text else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style if OTHER_BREAKS.isdisjoint(text) else '"')

    Dumper.add_representer(str, represent_text)
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)
