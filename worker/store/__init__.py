"""Everything stored in Redis: which key holds what for how long (`keys`), and the scripts that change it.

A lane changes only in `scripts/lane_*.lua`, one atomic script per step; every step may run twice. No decision about
Slack is made here.
"""
