"""Measurements with targets, on this machine, against the emulator. `python -m dev.bench`."""
