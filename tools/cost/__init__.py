"""Computes the cost of an answer on AWS, line by line: `python -m cost`."""
