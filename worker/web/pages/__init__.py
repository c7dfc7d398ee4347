"""The console: pages made on the server, which work without JavaScript.

Here belongs what a person sees and clicks. `door.py` stands before all pages and decides who is let in, so
that no page can forget to; a page's module has one noun, its templates are in `worker/templates/pages/`. What
a page shows or changes is the stores' and the pipeline's: nothing is decided here a second time.
"""
