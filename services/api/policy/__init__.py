"""The campus's policy: read a document, judge students by it, explain and compare. No database, no clock."""
