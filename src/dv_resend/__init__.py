"""DV Resend: re-sends DigiCert CertCentral domain-validation emails, safely."""

__version__ = "1.0.0"
