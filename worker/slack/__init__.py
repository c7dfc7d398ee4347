"""Slack's Web API behind `pipeline.gateway.Gateway`: answers become values, failures become SlackErrors."""
