"""Services of providers as real servers on this machine: for the demo and the tests."""
