"""What may be configured: settings from the environment, and what Celery, Flower and logging make of them.

Never imports `worker`.
"""
