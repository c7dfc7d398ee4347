"""`ik-slack manifest`: the Slack app as YAML, to paste where Slack asks for it."""

import click


@click.command()
def command() -> None:
    """Print the manifest of the Slack app: the bot, and exactly the five scopes.

    At https://api.slack.com/apps choose Create New App, From a manifest, and paste it. Then click Install to
    Workspace, and give the token to `ik-slack integrations add`.
    """
    from worker.slack.scopes import manifest

    click.echo(manifest(), nl=False)
