"""The rows that all sources of these tests have."""

from __future__ import annotations

COUNT = 120
ROWS = {f"key {number:03d}": number for number in range(COUNT)}
ROWS_WITH_NONE = {**ROWS, "none": None}
MISSING = ("", "key", "key 000 ", "KEY 001", "key 120", "ключ")
