"""The JGI Data Portal."""
