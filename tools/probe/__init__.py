"""Tools for whoever operates a deployment: `python -m probe`."""
