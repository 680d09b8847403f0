"""Devino Telecom: SMS, Viber and social networks."""
