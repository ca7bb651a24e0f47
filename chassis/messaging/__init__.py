"""Kafka: connection, topics, the relay from the outbox, subscribers, probe and breaker."""
