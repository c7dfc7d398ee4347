"""Stand-ins for Slack and Redis on one machine, for trying things out and for tests. Not for production."""
