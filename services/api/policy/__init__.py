"""The placement policy of a campus: read it, decide by it, explain it, compare policies. No database, no clock."""
