"""The event log's protocol as a model that Spin checks exhaustively."""
