"""The endpoints whose requests can be put in a batch."""
