"""What to do next: pure functions from what is recorded to what is to be done."""
