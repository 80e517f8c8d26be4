"""The parts that are shared by providers whose model is behind an HTTP server."""
