"""SMS through any provider with an HTTP interface, configured without code."""
