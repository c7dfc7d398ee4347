"""Rendering: turns events into messages."""
