"""The local run: a private copy of AWS and CertCentral on loopback, with the real template deployed to it."""
