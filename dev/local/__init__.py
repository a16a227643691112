"""The local stack: an AWS and a CertCentral on loopback, with the real template deployed."""
