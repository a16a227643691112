"""What AWS hands to the function, and what AWS wants back: one module for each kind of caller."""
