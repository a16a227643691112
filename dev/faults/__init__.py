"""What can go wrong around the function, for tests: the network, servers, AWS, its permissions, its own process."""
