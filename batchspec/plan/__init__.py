"""What would change: pure values, no I/O."""
