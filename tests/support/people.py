"""People of a workspace of the sandbox."""

from worker.sandbox.slack.workspace import User, Workspace


def get_user(workspace: Workspace, reference: User | str) -> User:
    """Return a person by user id or email."""
    for user in workspace.users.values():
        if reference in (user, user.id, user.email):
            return user
    raise KeyError(f"{workspace.name} has no user {reference}")
