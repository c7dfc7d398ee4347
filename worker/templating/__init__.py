"""Templates of subscriptions: variables and filters, the engine, and the child process that runs it."""
