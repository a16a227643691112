"""DV Resend: re-sends DigiCert CertCentral domain-validation emails, safely."""

import warnings

__version__ = "1.0.0"

# requests misses the package that guesses the encoding of texts. The build leaves it out, as only bytes are read.
warnings.filterwarnings("ignore", message="Unable to find acceptable character detection dependency")
