"""The campus's policy: reading a document, judging students by it, explaining and comparing. Pure: no database, no clock."""
