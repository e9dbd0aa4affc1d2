"""Buckets of services that speak S3: files are read and written in parts, and copied inside the service."""
