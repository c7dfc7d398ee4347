"""Yardstick: one Celery task per event on the threads pool, with WebClient and its own retry handlers.

celery -A naive_celery worker …      started by `yardstick.py` with BENCH_REDIS and BENCH_SLACK
python naive_celery.py EVENTS RATE   send the tasks, RATE a second or at once (0); print when each was sent
"""

import json
import os
import sys
import time

from celery import Celery
from slack_sdk import WebClient
from slack_sdk.http_retry.builtin_handlers import ConnectionErrorRetryHandler, RateLimitErrorRetryHandler

app = Celery("naive", broker=os.environ["BENCH_REDIS"])
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_pool="threads",
    worker_concurrency=16,
    worker_prefetch_multiplier=4,
    broker_transport_options={"global_keyprefix": "naive:", "max_connections": 64},
)
client = WebClient(
    token="xoxb-bench",
    base_url=os.environ["BENCH_SLACK"],
    retry_handlers=[ConnectionErrorRetryHandler(), RateLimitErrorRetryHandler(max_retry_count=5)],
)


@app.task(name="naive.post_event")
def post_event(channel: str, title: str, text: str) -> None:
    """Post one event with three blocks, as many as the worker's messages have."""
    blocks = [
        {"type": "section", "text": {"type": "mrkdwn", "text": f"*{title}*"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": text}},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "severity critical"}]},
    ]
    client.chat_postMessage(channel=channel, text=f"{title}: {text}", blocks=blocks)


def send(events: int, rate: float) -> list[float]:
    """Send the tasks."""
    began, sent = time.monotonic(), []
    for number in range(events):
        if rate:
            time.sleep(max(began + number / rate - time.monotonic(), 0))
        sent.append(time.time())
        post_event.delay(f"C{number:09d}", "HighCPU", "cpu is high")
    return sent


if __name__ == "__main__":
    print(json.dumps(send(int(sys.argv[1]), float(sys.argv[2]))))
