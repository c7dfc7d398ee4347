"""The way of an event, one stage a file; the stages never import each other.

    stream ─ingest→ Event ─route→ Deliveries → lanes … resolve → pace → fold → render → post → record
    └────────── ingest.py: a process ──────────┘      └────── drain.py: the task slack.drain ──────┘

`sweep.py` wakes what is due and probes what is parked, `directory.py` reads which channels there are.
`gateway.py` is what all of them need of Slack.
"""
