"""The cost of the cache beside the least possible cost, and beside other caches for asyncio."""
