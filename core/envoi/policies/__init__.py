"""Communication policies: named lists of rules that a marketer picks."""
