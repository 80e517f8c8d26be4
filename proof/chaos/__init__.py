"""A fault harness: every failure the project promises to survive, many at once, and a verdict."""
