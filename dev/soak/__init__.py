"""The soak: minutes of mixed calls and random faults, then a comparison of log and outbox. `python -m dev.soak`."""
