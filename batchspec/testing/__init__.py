"""Testing projects and jobs offline, with pytest."""
