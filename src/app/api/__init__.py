"""The HTTP interface: routes, what they take, and how records look on the wire."""
