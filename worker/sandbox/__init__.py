"""What `demo` and the tests run on: a small Slack over HTTP and an embedded Redis. Not for production."""
