"""CertCentral, as far as DV Resend talks to it: a real HTTP server for tests and for the local run."""

from .emulator import CertCentralEmulator

__all__ = ["CertCentralEmulator"]
