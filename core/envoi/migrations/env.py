"""Alembic's entry: runs inside the transaction that `envoi.schema.migrate` opened."""

from alembic import context

from envoi.schema import all_tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=all_tables(),
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
