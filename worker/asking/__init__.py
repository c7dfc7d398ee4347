"""What people ask and decide, as data: the same whether they use the command line, the API or the console.

Here belongs what a question needs of several stores, the JSON of its answer, and what a decision does. How it
is shown, and how it is asked for, is the business of `cli` and `web`.
"""
