"""The Celery app for `celery -A worker …`."""

from worker.bootstrap.celery_app import create_worker_app

app = create_worker_app()
