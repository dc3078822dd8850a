"""Alembic's migrations; `walras.store.database.open_store` runs them."""
