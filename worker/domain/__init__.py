"""Frozen values and rules of events, deliveries, messages and errors; they need nothing but the standard library."""
