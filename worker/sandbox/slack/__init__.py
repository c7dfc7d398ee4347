"""A stand-in for Slack: its Web API with its limits and errors, faults on demand, and a page of its messages."""
