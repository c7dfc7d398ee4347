"""All of Slack's Web API that is used, behind `pipeline.gateway.Gateway`; nothing else imports slack_sdk.

Here an answer of Slack's becomes a value, and all else a class of `domain/errors.py`; what happens then is
decided elsewhere.
"""
