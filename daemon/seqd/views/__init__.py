"""What is said of a record, whoever shows it: a terminal's tables and the console's pages."""
