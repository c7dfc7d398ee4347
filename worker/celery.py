"""The door: `celery -A worker …` finds the app here."""

from worker.bootstrap.door import open_door

app = open_door()
