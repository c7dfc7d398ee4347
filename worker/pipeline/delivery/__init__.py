"""Delivery: sends the pending deliveries of leased lanes; start reading at `session.LaneSession.deliver_next`."""
