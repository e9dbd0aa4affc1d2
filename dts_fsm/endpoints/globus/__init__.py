"""The endpoint of Globus collections: the service moves the bytes itself, from one to the other."""
