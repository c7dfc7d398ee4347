"""What InfraKitchen, a delivery and Slack's refusals are: frozen values and rules, standard library only.

Nothing here knows Redis, Slack's client, Celery or the environment.
"""
