"""The pipeline, one module or package per stage; the stages never import each other.

An event goes through `ingest.IngestConsumer.process` (stream to lanes) and
`delivery.session.LaneSession.deliver_next` (lane to Slack: resolve, acquire a slot, take, plan, send, record).
"""
