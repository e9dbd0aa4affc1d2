"""Real servers on this machine, started by the tests that ask them."""
