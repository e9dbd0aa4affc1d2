"""The database of an organization that offers its files by a web service."""
