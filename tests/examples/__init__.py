"""The example programs, their data sets and files."""
