"""`report.html`: every section is a function from plain data to HTML; `whole` puts them together."""
