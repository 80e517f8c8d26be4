"""The parts that the models behind an HTTP server share."""
