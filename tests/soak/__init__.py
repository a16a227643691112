"""The soak: mixed calls for minutes, faults at random, and at the end the log against the outbox. `python -m soak`."""
