"""Periodic maintenance: the sweeper, its probes of parked lanes, and the operations alerts."""
