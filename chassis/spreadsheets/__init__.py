"""Files for spreadsheet programs, CSV and XLSX: the database makes the cells, and COPY streams the rows."""
