"""Tenants: companies on one installation, their settings, and the work that falls due."""
