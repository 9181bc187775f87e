"""Files and batches: what the server remembers, and how batches run."""
