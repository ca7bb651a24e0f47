"""Reading uploaded files of students: from bytes to rows for the staging table."""
