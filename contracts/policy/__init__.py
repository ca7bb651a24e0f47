"""The policy document: which students may apply and accept, as data. The grammar is closed; docs/policy.md explains it."""
