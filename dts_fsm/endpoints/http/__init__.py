"""The endpoint of a web server."""
