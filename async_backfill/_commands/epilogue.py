"""The end of the help: what a scenario and a summary hold."""

from __future__ import annotations

from typing import Final

EPILOGUE: Final = """\
Example: the five products and seven lookups that come with the project.

    python -m async_backfill --input data/sample_input.txt \\
        --output data/output_summary.json

The command async-backfill is the same program as python -m async_backfill.

A scenario is a JSON object, or TOML with the same names. This one is complete:

    {"source": {"a": 1, "b": 2}, "lookups": ["a", "c", "a"]}

A source may also be a table: CSV, JSON lines, or a JSON array of objects. A
"table" is read into memory. A "file" stays on disk, and may be larger than
memory; it may be Parquet, and not a JSON array.

    "source": {"kind": "table", "file": "rows.csv.gz", "key": "id"}
    "source": {"kind": "file", "file": "rows.parquet", "key": "id"}

"value" names the column that becomes the value; left out, the value is an object
of all columns but the key. CSV may have commas, semicolons, tabs or bars.
"columns": ["id", "name"] names those of a table without a header. "duplicates"
is "refuse", "first" or "last": which row of a key that is there twice counts.

Keys have the type of the source's key column (text, whole number, UUID, date,
decimal), and lookups are read as that type. Where a file cannot tell, as in CSV,
"key_type" says it: "str", "int", "uuid", "date" or "decimal".

A simulated source has "keys" (key_0, key_1, ...), "entries" or a "table" (file,
key, value). "latency" is the seconds of a call, "key_latency" more for each key
of it, "jitter" the most that is added at random; "error_rate" is the share of
calls that fail, 0 to 1, and "seed" decides what is random. Unless given, all 0:

    "source": {"kind": "simulated", "keys": 1000, "latency": 0.02}

Or a database or a service. Secrets are variables of the environment:

    "source": {"kind": "sql", "url": "postgresql://app:${PGPASSWORD}@db/shop",
               "table": "products", "key": "id", "value": "name"}
    "source": {"kind": "http", "url": "https://host/items/{key}"}

A far tier (L2) in Redis or Valkey may stand before any of them. "namespace" is
the prefix of its entries; "leases" lets one process at a time load a key, and
"invalidations" tells the others of changes (both false); "ttl" is the seconds
that an entry lives (without it as long as in the cache), and "timeout" those
that an answer may take (0.05):

    "store": {"kind": "redis", "url": "redis://host", "namespace": "shop"}

The lookups may be a file: one key a line, an access log, JSON lines or a trace;
"column", "field" or "pattern" says where the key is. Or made up, with few keys
asked for often (Zipf's law):

    "lookups": {"file": "access.log", "method": ["GET"], "status": ["2xx"]}
    "lookups": {"kind": "zipf", "count": 9000, "keys": 1000,
                "exponent": 0.9, "seed": 1}

File names, SQLite's too, are relative to the folder of the scenario. Files may be
packed with gzip, bz2, xz or zstd (an extra). Every setting above can be in the
scenario, written with underscores: "max_backfills": 3.

In the summary a lookup is a hit (found in the cache) or a miss. A miss is absent
(the source does not have the key), failed (an error), or loaded. A backfill is
skipped when no key or no room is left to load, and denied without a permit; an
eviction is a key that was pushed out. Source calls are requests to the source,
source keys what they delivered, cache size the keys held at the end. Each field:
docs/replaying_and_tuning.md, "The summary".

Exit codes: 0 the summary is written; 1 the run failed, such as a full disk or a
source that does not answer; 2 the input or the command is wrong; 130 interrupted,
143 terminated.
Unless it is 0 nothing was written.
An error is one line on standard error.
"""
