"""How close the cache is to the limit, and how it compares with other caches for asyncio."""
