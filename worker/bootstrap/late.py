"""What commands import when they need it, and a server before it serves, so that no post waits for it."""

import worker.pipeline.language
import worker.slack.calling  # noqa: F401
