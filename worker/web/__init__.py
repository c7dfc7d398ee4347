"""What is served over HTTP: the state of the house for probes and for Prometheus.

Here belongs what turns a request into an answer. What is answered comes from the stores; nothing here posts,
parks or paces, and no path that takes no credentials names a channel or an integration.
"""
