"""Measurements with targets, against the emulator on this machine."""
