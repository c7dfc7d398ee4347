"""All of Redis: what is kept, under which key, for how long, and the scripts that change it.

A lane's truth changes only in `lua/*.lua`, one atomic script a step; everything here may run twice.
No decision about Slack is taken here.
"""
