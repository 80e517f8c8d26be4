"""Tools for whoever operates a deployment: `python -m ops.probe`."""
