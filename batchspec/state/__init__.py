"""What is recorded: records, the events that change them, and the one table of transitions."""
