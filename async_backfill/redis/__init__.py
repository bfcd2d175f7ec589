"""What a fleet of processes shares in Redis or Valkey; needs the extra ``redis``, and asyncio."""
