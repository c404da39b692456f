"""One trace of a run in the terminal."""
