"""The basis of every service: database, event store, jobs, Kafka, HTTP, metrics. It has no business rules."""
