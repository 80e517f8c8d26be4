"""Turning requests into streams: one writer at a time, any number of readers."""
