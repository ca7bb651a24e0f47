"""What every service is built on: database, event store, jobs, Kafka, HTTP, metrics. No business rules."""
