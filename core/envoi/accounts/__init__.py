"""Accounts of people who log in, and their membership in tenants."""
