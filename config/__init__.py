"""Settings from the environment, and the configuration of Celery, Flower and logging. Never imports `worker`."""
