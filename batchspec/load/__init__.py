"""Reading specs and data."""
