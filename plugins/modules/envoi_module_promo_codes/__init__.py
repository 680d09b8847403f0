"""Promo codes: groups of codes, issued by a macro once for each message that is really sent."""
