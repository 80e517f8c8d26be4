"""Measures whether a deployment streams: `python -m probe URL`."""
