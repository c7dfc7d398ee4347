"""Use cases shared by the command line, the HTTP API and the console: one module for each noun."""
