"""The policy document: which students may apply and accept, as data. docs/policy.md explains the grammar."""
