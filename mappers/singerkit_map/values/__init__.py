"""What operations do to one value: pure functions, each tried with its edges."""
