"""Databases: where users find files and ask for them to be staged."""
