"""The near tier (L1): stores in this process's memory, one kind per module."""

__all__: list[str] = []
