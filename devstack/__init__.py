"""Postgres and Kafka for a machine that has nothing but uv: for development, demo and tests, never for production."""

from devstack.choice import chosen
from devstack.failures import StackFailure
from devstack.kafka import Kafka
from devstack.postgres import Postgres
from devstack.processes import Process
from devstack.stack import Addresses, Stack, data_folder

__all__ = ["Addresses", "Kafka", "Postgres", "Process", "Stack", "StackFailure", "chosen", "data_folder"]
