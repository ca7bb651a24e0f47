"""Eligibility queries. They evaluate current marks and criteria and store nothing."""
