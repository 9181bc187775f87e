"""The only place that prints. A view renders a value and decides nothing."""
