"""The parts that providers share whose model is behind an HTTP server."""
