"""Slack messages drawn without Slack: as HTML, in a terminal, or as a picture."""
