"""Migrations; the data of tenants is changed only inside `envoi.schema.unrestricted`."""
