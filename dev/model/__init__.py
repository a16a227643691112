"""Explores the send record by state: every order of events, with faults, clocks apart and jumps of time."""
