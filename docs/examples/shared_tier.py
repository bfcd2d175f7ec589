"""PostgreSQL behind, Valkey before it, and two processes: ``python -m docs.examples.shared_tier``.

Both servers come out of wheels that the extra ``test`` installs; they are gone when this ends.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import sqlalchemy as sa

from async_backfill.sources.sql import open_database
from docs.examples.shared_worker import PRODUCTS
from tests.servers.postgres import start_postgres
from tests.servers.valkey import start_valkey
from tests.servers.wheels import NoServerError


async def fill(url: str) -> None:
    """Make the table of products."""
    table = sa.Table(
        "products", sa.MetaData(), sa.Column("id", sa.Text, primary_key=True), sa.Column("name", sa.Text)
    )
    async with open_database(url) as engine, engine.begin() as connection:
        await connection.run_sync(table.create)
        rows = [{"id": key, "name": f"the product {key}"} for key in PRODUCTS]
        await connection.execute(sa.insert(table), rows)


def main() -> None:
    """Start the servers, then the processes, one after the other."""
    with (
        tempfile.TemporaryDirectory() as folder,
        start_postgres() as database,
        start_valkey(Path(folder)) as valkey,
    ):
        asyncio.run(fill(database.url))
        environment = {**os.environ, "DATABASE_URL": database.url, "REDIS_URL": valkey.url}
        for name in ("the first process", "the second one"):
            subprocess.run(
                [sys.executable, "-m", "docs.examples.shared_worker", name], env=environment, check=True
            )


if __name__ == "__main__":
    try:
        main()
    except NoServerError as error:
        sys.exit(f"error: {error}")
