"""Tells people in Slack what happens in InfraKitchen.

stream → ingest → route → lanes → resolve → pace → fold → render → post → record (see `worker/pipeline`).
"""
