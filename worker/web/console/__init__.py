"""The console: pages made on the server, which work without JavaScript.

`middleware.py` authenticates every request, so that no page can forget it. A module has the pages of one noun; their
templates are in `worker/templates/console/`. What pages show and change belongs to `services` and `store`.
"""
