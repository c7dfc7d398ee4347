"""The composition root: builds the application context and the Celery app from the settings."""
