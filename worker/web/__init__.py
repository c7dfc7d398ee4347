"""HTTP: the API, the webhooks, the console, health checks and metrics."""
