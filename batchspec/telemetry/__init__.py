"""What a service tells machines about itself: metrics and traces. Each is an extra."""
