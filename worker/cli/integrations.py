"""`ik-slack integrations` and `manifest`: the Slack apps that post InfraKitchen's events, and their tokens."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import IO

import click

from worker.cli.context import AppContext, check_name, read_text, run
from worker.cli.output import as_json, print_checks, print_facts, print_json, print_table, warn
from worker.domain.delivery import canonical_destination
from worker.domain.errors import UserError
from worker.domain.integration import Health, Integration, Secret
from worker.pipeline.integration_setup import CheckResult, add_integration, missing_scopes_fix
from worker.services import integrations as service
from worker.services import status
from worker.services.formatting import format_time, pluralize
from worker.services.schemas import CheckedIntegrationSchema, IntegrationSchema
from worker.services.subscription_schema import describe_no_destination
from worker.services.subscriptions import describe_discarded
from worker.services.template_validation import validate_template

name_argument = click.argument("name")


@click.group()
def command() -> None:
    """Connect Slack workspaces and manage their tokens.

    \b
    ik-slack manifest                  the manifest of the Slack app
    ik-slack integrations add ops      asks for the token, tests and saves it
    """


def token_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that give a token, which the command gets as `secret`; without them the user is asked."""

    @click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
    @click.option("--token", metavar="TOKEN", help="The token itself. Other users of this machine can see it while "
                  "the command runs, and the shell keeps it in its history: prefer --token-stdin.")  # fmt: skip
    @wraps(command)
    def with_token(token: str | None, token_stdin: bool, **values: object) -> None:
        if token is not None and token_stdin:
            raise click.UsageError("Give the token once: --token-stdin or --token.")
        if token_stdin:
            token = sys.stdin.read()
        elif token is None:
            if not sys.stdin.isatty():
                raise click.UsageError(
                    "No token: pipe it in with --token-stdin, or run this in a terminal to be asked."
                )
            token = click.prompt("Bot User OAuth Token (starts with xoxb-)", hide_input=True, err=True)
        token = str(token).strip()
        if not token:
            raise click.UsageError("The token is empty.")
        command(secret=Secret(token), **values)

    return with_token


@command.command()
@click.argument("name", callback=check_name)
@token_options
@click.option("--sealed", is_flag=True, help="The token is as InfraKitchen stores it (EncryptedSecretStr:…), encrypted "
              "with the same ENCRYPTION_KEY.")  # fmt: skip
@click.option("--description", metavar="D", default="", help="Purpose of the workspace.")
@click.option("--label", "labels", metavar="L", multiple=True, help="A tag; may be repeated.")
@as_json
def add(name: str, secret: Secret, sealed: bool, description: str, labels: tuple[str, ...], as_json: bool) -> None:
    """Test a bot token with Slack, and save it encrypted as NAME.

    Asks for the token unless it comes from standard input. If NAME exists already, its token is replaced and
    its waiting deliveries are sent.

    \b
    ik-slack integrations add ops --token-stdin < token.txt
    """

    async def work(app: AppContext) -> tuple[Integration, list[str]]:
        app.token_cipher.require_keys()  # before Slack is asked
        token = app.token_cipher.open_sealed(secret) if sealed else secret
        integration = await add_integration(
            app.integrations, app.gateway, name, token, description=description, labels=labels
        )
        return integration, await service.find_duplicates_warning(app, integration)

    integration, warnings = run(work)
    _print_saved(integration, as_json)
    warn(warnings)


@command.command()
@name_argument
@token_options
@click.option("--force", is_flag=True, help="Accept a token of another workspace, and move the integration there.")
@as_json
def rotate(name: str, secret: Secret, force: bool, as_json: bool) -> None:
    """Replace the token of NAME, without a restart.

    The new token is tested first. Deliveries that wait because the old token failed are then sent
    automatically. After a move to another workspace, channel names mean the channels there; ids of the old
    workspace are not found.

    \b
    ik-slack integrations rotate ops --token-stdin < token.txt
    """
    integration, warnings = run(lambda app: service.rotate_integration(app, name, secret, force=force))
    _print_saved(integration, as_json)
    warn(warnings)


def _print_saved(integration: Integration, as_json: bool) -> None:
    if as_json:
        print_json(IntegrationSchema.of(integration))
    else:
        bot = f"@{integration.bot_name} in workspace {integration.team}"
        click.echo(f"Saved integration {integration.name}: {bot}, {integration.state}.")
    if missing := integration.missing_scopes:
        warn([f"missing scopes: {', '.join(missing)}. {missing_scopes_fix(missing, integration.name)}"])


def _check_destination(_context: click.Context, _parameter: click.Parameter, written: str | None) -> str | None:
    destination = written and canonical_destination(written)
    if written is not None and not destination:
        raise click.BadParameter(f"{describe_no_destination(written)}.")
    return destination


@command.command()
@name_argument
@click.option("--post", metavar="DEST", callback=_check_destination, help="Post a short test message there too.")
@as_json
def test(name: str, post: str | None, as_json: bool) -> None:
    """Test the connection of NAME.

    Checks the token, its five scopes, and every subscribed destination. Exits with 1 when a check fails.
    If the token works again, the waiting deliveries are sent.

    \b
    ik-slack integrations test ops --post '#ops'
    """

    async def work(app: AppContext) -> tuple[Integration, list[CheckResult]]:
        return await service.check_integration(app, await app.integrations.find(name), post)

    integration, checks = run(work)
    if as_json:
        print_json(CheckedIntegrationSchema.of(integration, checks=checks))
    else:
        print_checks([("✓" if check.passed else "✗", check.name, check.detail, check.fix) for check in checks])
    if failed := [check.name for check in checks if not check.passed]:
        number = f"{len(failed)} of {pluralize(len(checks), 'check')} failed"
        raise UserError(f"{integration.name}: {number} ({', '.join(failed)}).")
    if not as_json and integration.state is not Health.ACTIVE:
        state = f"{integration.name} is {integration.state}: {integration.reason}. {integration.hint}"
        click.echo(state.rstrip(), err=True)


@command.command("list")
@as_json
def list_(as_json: bool) -> None:
    """List all integrations with their workspaces and states."""

    async def work(app: AppContext) -> tuple[list[Integration], list[str]]:
        return await status.list_integrations(app), [sub.integration_id for sub in await app.subscriptions.list_all()]

    integrations, subscribed = run(work)
    if as_json:
        print_json([IntegrationSchema.of(integration) for integration in integrations])
        return
    rows = [(it.name, it.team, f"@{it.bot_name}", it.state, subscribed.count(it.id)) for it in integrations]
    columns = ("Name", "Workspace", "Bot", "State", "Subscriptions")
    print_table(columns, rows, empty="No integration yet: add one with `ik-slack integrations add NAME`.")
    for integration in integrations:
        if integration.hint:
            click.echo(f"\n{integration.name}: {integration.reason}. {integration.hint}")


@command.command()
@name_argument
@as_json
def show(name: str, as_json: bool) -> None:
    """Show one integration by its name or id, without its token."""
    integration = run(lambda app: service.get_integration(app, name))
    if as_json:
        print_json(IntegrationSchema.of(integration))
        return
    print_facts(
        ("Name", integration.name),
        ("Id", integration.id),
        ("Description", integration.description),
        ("Labels", ", ".join(integration.labels)),
        ("Template", "for subscriptions without a template of their own" if integration.template else ""),
        ("Workspace", f"{integration.team} ({integration.team_id})"),
        ("Bot", f"@{integration.bot_name} ({integration.bot_user_id})"),
        ("Scopes", ", ".join(integration.scopes)),
        ("Missing scopes", ", ".join(integration.missing_scopes)),
        ("State", integration.state),
        ("Since", format_time(integration.since_ms)),
        ("Reason", integration.reason),
        ("Fix", str(integration.hint)),
    )


@command.command()
@name_argument
@click.option("--with-subscriptions", is_flag=True, help="Remove its subscriptions, and discard their deliveries.")
def remove(name: str, with_subscriptions: bool) -> None:
    """Delete an integration and its token. Refused while subscriptions use it.

    \b
    ik-slack integrations remove ops --with-subscriptions
    """
    integration, lost = run(lambda app: service.remove_integration(app, name, with_subscriptions=with_subscriptions))
    click.echo(f"Removed integration {integration.name}.{describe_discarded(lost)}")


@command.command()
@name_argument
def disable(name: str) -> None:
    """Stop posting with an integration. Its deliveries wait until it is enabled."""
    integration, hint = run(lambda app: service.disable_integration(app, name))
    click.echo(f"Disabled {integration.name}: its deliveries wait. {hint}")


@command.command()
@name_argument
def enable(name: str) -> None:
    """Post with a disabled integration again. The waiting deliveries are sent first."""
    integration, lanes = run(lambda app: service.enable_integration(app, name))
    if lanes is None:
        click.echo(f"{integration.name} is not disabled: it is {integration.state}.")
    else:
        click.echo(f"Enabled {integration.name}." + (f" {pluralize(lanes, 'waiting lane')} resumed." if lanes else ""))


@command.command()
@name_argument
@click.argument("file", type=click.File("rb"), metavar="[FILE|-]", required=False)
@click.option("--remove", "removes", is_flag=True, help="Remove the template: default messages are posted again.")
def template(name: str, file: IO[bytes] | None, removes: bool) -> None:
    """Set, print or remove the template of an integration.

    Its subscriptions without a template of their own use it. FILE is Jinja2 text or Block Kit JSON, as for
    `subscriptions add --template`; without FILE the template is printed.

    \b
    ik-slack integrations template ops messages.j2
    """
    if file and removes:
        raise click.UsageError("Give either FILE, to set the template, or --remove.")
    try:
        new = validate_template(read_text(file) or "\n") if file else ""
    except ValueError as error:
        raise UserError(f"The template cannot be used: {error}.") from None

    async def work(app: AppContext) -> str:
        integration = await app.integrations.find(name)
        if not (file or removes):
            return integration.template or f"{integration.name} has no template."
        await app.integrations.save(replace(integration, template=new))
        subscriptions = await app.subscriptions.list_all()
        affected = [sub.id for sub in subscriptions if sub.integration_id == integration.id and not sub.template]
        await app.template_errors.clear(affected)
        result = "use this template now" if new else "post default messages now"
        return f"Subscriptions of {integration.name} without a template of their own {result}."

    click.echo(run(work))


@click.command()
def manifest() -> None:
    """Print the manifest of the Slack app.

    It asks for a bot user and exactly the five scopes that are needed.

    At https://api.slack.com/apps choose Create New App, From a manifest, and paste it. Then choose Install to
    Workspace, and give the token to `ik-slack integrations add`.
    """
    from worker.slack.app_manifest import manifest as app_manifest

    click.echo(app_manifest(), nl=False)
