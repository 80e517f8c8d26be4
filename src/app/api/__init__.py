"""The HTTP interface: routes, their inputs, and the form of records on the wire."""
