"""Posts InfraKitchen's events to Slack.

stream → ingest → route → lanes → resolve → slot → take → plan → render → send → record (see `worker/pipeline`).
"""
