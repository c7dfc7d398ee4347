"""Connection: what an integration posts with, or the step a person must take first."""

from worker.domain.errors import Blocked, Scope
from worker.domain.integration import Integration, Secret
from worker.store.integrations import Connection


def connected(connection: Connection | None, integration_id: str) -> tuple[Integration, Secret]:
    """The integration with its token; Blocked when it was removed or its token cannot be opened."""
    if connection is None:
        raise Blocked(
            "integration_gone",
            f"the integration {integration_id} was removed",
            f"Add it again with `ik-slack integrations add {integration_id}`, or discard what waits.",
        )
    if connection.token is None:
        raise Blocked(
            "wrong_key",
            "the token cannot be opened with this ENCRYPTION_KEY",
            connection.unreadable,
            Scope.INTEGRATION,
        )
    return connection.integration, connection.token
