"""The bridge: consumes the messages of InfraKitchen's RabbitMQ and publishes their events to the stream."""
