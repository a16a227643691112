"""What can go wrong around the function, for tests: the network and AWS fail, and its process is killed."""
