"""The HTTP API: the nouns of the command line under `/api/v1`, one module a noun.

What is answered has the keys that the command's `--json` has; a list is `{"rows": [...], "next": ...}`, where
`next` is what to ask with as `after` to go on, and null at the end. Nothing is decided here: that is done in
`worker.asking`. Named tokens are no noun of it: who has one must not be able to make more.
"""
