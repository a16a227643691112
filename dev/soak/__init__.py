"""The soak: mixed calls and random faults for minutes; then the log against the outbox. `python -m dev.soak`."""
