"""Posts InfraKitchen's events to Slack.

stream → ingest → route → lanes → resolve → slot → take → plan → render → send → record (see `worker/pipeline`).
"""

__version__ = "0.1.0"
