"""Target audiences: static lists of customers."""
