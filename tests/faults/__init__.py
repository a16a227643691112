"""What may go wrong around a resend: the fault matrix, and other attacks."""
