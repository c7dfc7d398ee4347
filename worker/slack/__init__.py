"""All of Slack's Web API that is used, behind `pipeline.post.Gateway`; the only place that imports slack_sdk.

What Slack answers becomes a value or one of the classes of `domain/errors.py` here; no decision is taken here.
"""
