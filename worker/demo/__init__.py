"""The demo: an installation on this machine alone, the scenario, and the player that publishes it."""
