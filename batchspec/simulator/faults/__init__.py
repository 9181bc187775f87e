"""What can go wrong, when it does, and how: faults as data, drawn from a seed."""
