"""What should be: the specs as values, and their rows as requests."""
