"""Our own two kinds of database pass the kit for any."""

from actlas.testing import StoreTests


class TestOurBackends(StoreTests):
    """On SQLite and on PostgreSQL: the fixture `store_url` gives both."""
