"""The log is the only state: one stream is one append-only, gapless sequence of records."""
