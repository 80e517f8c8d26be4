"""Functions that the measurements run, beside the application itself."""
