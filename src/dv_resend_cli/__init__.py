"""`dv-resend`, the command with which people use a deployed stack. It shares no code with the Lambda functions."""

__version__ = "1.0.0"
