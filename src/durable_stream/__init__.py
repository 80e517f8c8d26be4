"""Streams that survive: an append-only log, its writers and its readers."""
