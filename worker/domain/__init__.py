"""The domain: frozen values and rules of events, deliveries, messages and errors; standard library only.

Nothing here knows Redis, Slack's client, Celery or the environment.
"""
