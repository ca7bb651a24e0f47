"""CSV and XLSX files for spreadsheet programs. The database writes the cells, and COPY streams the rows."""
