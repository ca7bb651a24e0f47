"""The deployables. None imports another: they meet in Kafka, in the HTTP job protocol and in the database."""
