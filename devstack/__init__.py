"""Postgres and Kafka for a machine that has nothing but uv. Development, demo and tests; never production."""
