"""What users give a command line by mistake: each kind by its name, with what the complaint must hold."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sqlite3
from pathlib import Path
from typing import Any

Case = tuple[bytes | str | dict[str, Any], str]

ROWS = b"id,v\na,1\nb,2\n"
FILES = {
    "rows.csv": ROWS,
    "keys": b"a\nb\na\n",
    "old.json": b'{"hits": "of an earlier run"}\n',
    "empty": b"",
    "blank": b"\n\n",
    "header.csv": b"id,v\n",
    "latin.csv": "id,v\né,1\n".encode("latin-1"),
    "utf16.csv": "id,v\na,1\n".encode("utf-16"),
    "nul.bin": bytes(10_000),
    "rows.parquet": b"PAR1\x15\x04\x15\x00PAR1",
    "cut.parquet": b"PAR1\x15\x04\x15",
    "rows.xlsx": b"PK\x03\x04\x14\0\x06\0",
    "rows.xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0",
    "rows.pdf": b"%PDF-1.7\n",
    "rows.7z": b"7z\xbc\xaf\x27\x1c\0\x04",
    "rows.lz4": b"\x04\x22\x4d\x18\x64\x40",
    "rows.arrow": b"ARROW1\0\0\xff\xff",
    "rows.avro": b"Obj\x01\x04\x16",
    "rows.orc": b"ORC\n\x0b\0\0",
    "rows.tar": b"rows.csv".ljust(257, b"\0") + b"ustar\0" + bytes(250),
    "rows.tar.gz": gzip.compress(b"rows.csv".ljust(257, b"\0") + b"ustar\0" + bytes(250)),
    "twice.gz": gzip.compress(gzip.compress(ROWS)),
    "cut.gz": gzip.compress(ROWS)[:-5],
    "cut.bz2": bz2.compress(ROWS * 1000)[:-5],
    "cut.xz": lzma.compress(ROWS * 1000)[:-8],
    "more.gz": gzip.compress(ROWS) + b"more",
    "bomb.gz": gzip.compress(bytes(3_000_000)),
    "bomb.xz": lzma.compress(bytes(3_000_000)),
    "cr.csv": b"id,v\ra,1\rb,2\r",
    "wide.csv": b"id,v\na,1,2\n",
    "narrow.csv": b"id,v\na\n",
    "repeat.csv": b"id,v\na,1\na,2\n",
    "columns.csv": b"id,id\na,1\n",
    "nokey.csv": b"id,v\n,1\n",
    "quote.csv": b'id,v\n"a,1\n',
    "quotes.csv": b'id,v\n"a"x,1\n',
    "semi.csv": b"id;v\na;1\n",
    "words.csv": b"id,v\na,1\nseven,2\n",
    "plain.csv": b"a,1\nb,2\n",
    "array.json": b'[{"id": "a"},\n {"id": "b"}]',
    "cut.json": b'[{"id": "a"},\n {"id": "b"}',
    "mixed.json": b'[{"id": "a"},\n 7]',
    "object.json": b'{\n  "id": "a"\n}\n',
    "rows.jsonl": b'{"id": "a", "v": 1}\n{"id": "b", "v": 2}\n',
    "cut.jsonl": b'{"id": "a"}\n{"id": "b"\n',
    "types.jsonl": b'{"id": "a"}\n{"id": 7}\n',
    "null.jsonl": b'{"id": null}\n',
    "nan.jsonl": b'{"id": "a", "v": NaN}\n',
    "names.jsonl": b'{"id": "a", "v": 1, "v": 2}\n',
    "deep.jsonl": b'{"id": "a", "v": ' + b"[" * 200 + b"]" * 200 + b"}\n",
    "other.jsonl": b'{"ID": "a"}\n',
    "half.jsonl": b'{"id": "a", "v": "\\ud800"}\n',
    "list.jsonl": b"{}\n[1]\n",
    "gap.keys": b"a\n\nb\n",
    "number.keys": b"1\ntwo\n",
    "access.log": b'1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5 "-" "-"\n',
    "iis.log": b"#Fields: date cs-method sc-status\n2026-01-01 GET 200\n",
    "fields.jsonl": b'{"user": "a", "action": "b"}\n{"user": "b", "action": "b"}\n',
    "line.log": b"x" * 1_200_000,
    "words.txt": b"one two\nthree four\n",
    "no.journal": b"not a journal\n",
}


def write_files(folder: Path) -> None:
    """Write the files that the cases name into ``folder``."""
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "folder").mkdir()
    with (folder / "hole.csv").open("wb") as file:
        file.write(ROWS)
        file.truncate(1 << 31)
    database = sqlite3.connect(folder / "shop.db")
    database.execute("create table products (id integer primary key, name text)")
    database.execute("insert into products values (1, 'one')")
    database.commit()
    database.close()


def text(**changed: object) -> str:
    return json.dumps({"source": {"a": 1}, "lookups": ["a"], **changed})


def source(kind: str, file: str | None = None, /, **more: object) -> str:
    named = {} if file is None else {"file": file, "key": "id"}
    return text(source={"kind": kind, **named, **more})


def sql(**changed: object) -> str:
    return source(
        "sql", **{"url": "sqlite:///shop.db", "table": "products", "key": "id", "value": "name", **changed}
    )


def lookups(file: str, **more: object) -> str:
    return text(lookups={"file": file, **more})


DOCUMENTS: dict[str, Case] = {
    "nothing": ("", "the file is empty"),
    "blanks": (" \n\t\n", "the file is empty"),
    "JSON that is cut off": ('{"source": {"a": 1}', "in.json:1:20: not JSON"),
    "JSON with a comma too many": ('{"source": {"a": 1},}', "not JSON"),
    "JSON with a comment": ('{"source": {}, // x\n"lookups": []}', "not JSON"),
    "JSON with single quotes": ("{'source': {}}", "not JSON"),
    "two JSON objects": (text() + text(), "not JSON: Extra data"),
    "a JSON array": ('[{"source": {}}]', "not TOML"),
    "a JSON text": ('"a"', "not TOML"),
    "YAML": ("source:\n  a: 1\n", "not TOML"),
    "XML": ("<a/>", "not TOML"),
    "TOML that is cut off": ("lookups = [\n", "not TOML"),
    "TOML with a name twice": ("lookups = []\nlookups = []\n", "not TOML"),
    "TOML with a day that is none": ("a = 2026-02-30\n", "not TOML"),
    "TOML with a long key": ("a" + ".a" * 9999 + " = 1", "nested deeper than 100 levels"),
    "TOML with an endless number": ("window = " + "9" * 5000, "not TOML"),
    "TOML with infinity": ("window = inf", "finite"),
    "deep JSON": ('{"source": ' + "[" * 9999, "nested deeper than 100 levels"),
    "deep JSON that ends": ('{"source": ' + "[" * 200 + "]" * 200 + "}", "nested deeper than 100 levels"),
    "a name twice": (text()[:-1] + ', "lookups": []}', "$.lookups: appears twice"),
    "NaN": (text()[:-1] + ', "ttl": NaN}', "NaN is not a JSON number"),
    "a number beyond all numbers": (text()[:-1] + ', "ttl": 1e999}', "not a finite number"),
    "half a surrogate pair": (text(source={"a": "\ud800"}), "half of a surrogate pair"),
    "Latin-1": ('{"source": {"é": 1}}'.encode("latin-1"), "not UTF-8 text"),
    "UTF-16": (text().encode("utf-16"), "is UTF-16 text"),
    "zeros": (bytes(9999), "is not text"),
    "a bomb": (gzip.compress(bytes(9_999_999)), "is not text"),
    "a table": (ROWS, "not TOML"),
    "a log": (FILES["access.log"], "not TOML"),
    "Parquet": (FILES["rows.parquet"], "is a Parquet file"),
    "Excel": (FILES["rows.xlsx"], "is a zip archive"),
    "gzip that is cut off": (gzip.compress(text().encode())[:-9], "gzip data is cut off"),
    "gzip in gzip": (FILES["twice.gz"], "is still packed with gzip"),
    "no source": ('{"lookups": []}', "$.source: is missing"),
    "no lookups": ('{"source": {}}', "$.lookups: is missing"),
    "a name that is wrong": (text(lookup=1), 'unknown name, the nearest known one is "lookups"'),
    "a name in capitals": (text(TTL=1), 'the nearest known one is "ttl"'),
    "a name with control characters": (text(**{"a\x1b[2J": 1}), "unknown name"),
    "a source that is a list": (text(source=[1]), "$.source: expected an object, got a list"),
    "a source that is null": (text(source=None), "$.source: expected an object, got null"),
    "a store that is text": (text(store="redis://host"), "$.store: expected an object"),
    "a store of no kind": (text(store={"kind": "memcached"}), "$.store.kind"),
    "a store without a URL": (text(store={"kind": "redis"}), "$.store.url: is missing"),
    "a store with a wrong URL": (text(store={"kind": "redis", "url": "http://h"}), "$.store.url"),
    "a store with a password": (text(store={"kind": "redis", "url": "redis://:pw@h"}), "holds a password"),
}

SETTINGS: dict[str, Case] = {
    "a threshold of nothing": (text(miss_threshold=0), "$.miss_threshold: 0"),
    "a threshold above all": (text(miss_threshold=1.5), "is not between 0.01 and 1.0"),
    "a threshold as text": (text(miss_threshold="0.5"), "expected a number"),
    "a capacity of nothing": (text(capacity=0), "$.capacity: 0 is less than 1"),
    "a capacity below nothing": (text(capacity=-1), "$.capacity: -1 is less than 1"),
    "a capacity with a fraction": (text(capacity=1.5), "$.capacity: expected a whole number"),
    "a capacity that is true": (text(capacity=True), "$.capacity: expected"),
    "a batch of nothing": (text(backfill_batch=0), "$.backfill_batch: 0 is less than 1"),
    "a batch of null": (text(backfill_batch=None), "$.backfill_batch: expected a whole number"),
    "backfills below nothing": (text(max_backfills=-1), "$.max_backfills: -1 is less than 0"),
    "a window of nothing": (text(window=0), "$.window: 0 is less than 1"),
    "a window that is too small": (text(window=5, min_lookups=6), "no backfill could start"),
    "lookups of nothing": (text(min_lookups=0), "$.min_lookups: 0 is less than 1"),
    "evicts that is a number": (text(backfill_evicts=1), "expected true or false"),
    "an eviction of no name": (text(eviction="mru"), '"mru" is not one of "fifo"'),
    "an eviction that is null": (text(eviction=None), "$.eviction"),
    "a selection of no name": (text(selection="random"), "$.selection"),
    "no concurrency": (text(concurrency=0), "$.concurrency: 0 is less than 1"),
    "successors below nothing": (text(successors=-1), "successors: -1 is less than 0"),
    "a flush before the first lookup": (text(flush_at=0), "$.flush_at: 0 is less than 1"),
    "no lookups in a second": (text(lookups_per_second=0), "lookups_per_second: 0"),
    "a seed below nothing": (text(arrival_seed=-1), "arrival_seed"),
    "a ttl below nothing": (text(ttl=-1), "$.ttl: -1"),
    "a jitter without a ttl": (text(ttl_jitter=0.5), "ttl_jitter: has no effect without ttl"),
    "a jitter above one": (text(ttl=1, ttl_jitter=2), "$.ttl_jitter"),
    "stale values without a ttl": (text(stale_for=1), "$.stale_for"),
    "an absent ttl below nothing": (text(absent_ttl=-1), "$.absent_ttl"),
}

SOURCES: dict[str, Case] = {
    "a kind that is none": (source("csv", "rows.csv"), '"csv" is not one of "mapping", "table"'),
    "a mapping without entries": (source("mapping"), "$.source.entries: is missing"),
    "a table without a file": (source("table", key="id"), "$.source.file: is missing"),
    "a table without a key": (source("table", file="rows.csv"), "$.source.key: is missing"),
    "a table with a field too many": (source("table", "rows.csv", sheet=1), "$.source.sheet: unknown name"),
    "a key type of no name": (source("table", "rows.csv", key_type="float"), '"float" is not one of'),
    "duplicates of no name": (source("table", "rows.csv", duplicates="all"), '"all" is not one of "refuse"'),
    "columns that are text": (source("table", "rows.csv", columns="id"), "$.source.columns: expected"),
    "a simulation of nothing": (source("simulated"), "expected exactly one of"),
    "a simulation of two things": (source("simulated", keys=1, entries={}), "expected exactly one of"),
    "a simulation below nothing": (source("simulated", keys=-1), "$.source.keys: -1 is less than 0"),
    "a simulation of too much": (source("simulated", keys=10**9), "must be at most"),
    "a simulation of negative time": (source("simulated", keys=1, latency=-1), "latency"),
    "a simulation of too many errors": (source("simulated", keys=1, error_rate=2), "error_rate"),
    "a URL without a key": (source("http", url="http://host/"), "$.source.url"),
    "a URL of no service": (source("http", url="ftp://host/{key}"), "$.source.url"),
    "a URL with a password": (source("http", url="http://u:pw@host/{key}"), "holds a password"),
    "a variable that is not set": (source("http", url="http://${NOT_SET_HERE}/{key}"), "is not set"),
    "a database that is not there": (sql(url="sqlite:///no.db"), "there is no database file"),
    "a database of no kind": (sql(url="nosuch://host/db"), "must be the URL of a database"),
    "a database without a URL": (sql(url=""), "must be the URL of a database"),
    "a database that is a table": (sql(url="sqlite:///rows.csv"), "!"),
    "a table that is not there": (sql(table="typo"), "!"),
    "a column that is not there": (sql(value="typo"), "!"),
    "a key column that is not there": (sql(key="typo"), "!"),
    "a schema that is not there": (sql(schema="typo"), "!"),
    "a list of no columns": (sql(value=[]), "$.source.value"),
    "a key of another type": (sql(), '$.lookups[0]: "a" cannot be a key of the source'),
}
for _kind in ("table", "file"):
    SOURCES |= {
        f"{_kind}: {_file}": (source(_kind, _file), _words)
        for _file, _words in {
            "no.csv": "$.source: no.csv: cannot be read: no such file",
            "folder": "is a directory" if _kind == "table" else "$.source: folder",
            "empty": "empty, expected CSV",
            "blank": "empty, expected CSV",
            "latin.csv": "latin.csv:2: not UTF-8 text",
            "utf16.csv": "is UTF-16 text",
            "nul.bin": "nul.bin",
            "hole.csv": "hole.csv",
            "rows.xlsx": "is a zip archive",
            "rows.xls": "is a file of Excel",
            "rows.pdf": "is a PDF",
            "rows.7z": "is a 7z archive",
            "rows.lz4": "is packed with LZ4",
            "access.log": "it looks like a common or combined log: give it as lookups",
            "iis.log": "it looks like a W3C log: give it as lookups",
            "rows.arrow": "is an Arrow file",
            "rows.avro": "is an Avro file",
            "rows.orc": "is an ORC file",
            "rows.tar": "is a tar archive",
            "rows.tar.gz": "is a tar archive",
            "twice.gz": "is still packed with gzip",
            "cut.gz": "gzip data is cut off",
            "cut.bz2": "bz2 data is cut off",
            "cut.xz": "xz data is cut off",
            "more.gz": "gzip data is cut off or damaged",
            "shop.db": "is a database of SQLite",
            "wide.csv": "wide.csv:2: 3 columns, expected 2",
            "narrow.csv": "narrow.csv:2: 1 columns, expected 2",
            "repeat.csv": 'the key "a" appears twice, first in line 2: duplicates',
            "columns.csv": 'the column "id" appears twice',
            "nokey.csv": '"id" is "", expected a key',
            "quote.csv": "quote.csv:2: not CSV",
            "quotes.csv": "quotes.csv:2: not CSV",
            "plain.csv": 'no column "id"',
            "object.json": "expected one whole object a line, or an array",
            "cut.jsonl": "cut.jsonl:2",
            "types.jsonl": 'types.jsonl:2: "id" is 7',
            "null.jsonl": '"id" is null',
            "nan.jsonl": "NaN is not a JSON number",
            "names.jsonl": 'the name "v" appears twice',
            "deep.jsonl": "nested deeper than 100 levels",
            "other.jsonl": 'the nearest is "ID"',
            "half.jsonl": "half of a surrogate pair",
        }.items()
    }
SOURCES |= {
    "table: Parquet": (source("table", "rows.parquet"), 'is a Parquet file, expected text: kind = "file"'),
    "table: an array that is cut off": (source("table", "cut.json"), "cut.json:2: not JSON"),
    "table: an array of more than objects": (source("table", "mixed.json"), "mixed.json:2: 7 is not"),
    "table: a bomb": (source("table", "bomb.gz"), "is not text"),
    "table: another bomb": (source("table", "bomb.xz"), "is not text"),
    "table: keys that are no numbers": (
        source("table", "words.csv", key_type="int"),
        'words.csv:2: "id" is "a"',
    ),
    "table: columns for JSON": (source("table", "rows.jsonl", columns=["id"]), "leave out columns"),
    "table: columns without the key": (source("table", "plain.csv", columns=["k", "v"]), 'no column "id"'),
    "table: columns that repeat": (source("table", "plain.csv", columns=["id", "id"]), "appears twice"),
    "table: too few columns": (source("table", "plain.csv", columns=["id"]), "2 columns, expected 1"),
    "file: columns without the key": (source("file", "plain.csv", columns=["k", "v"]), "$.source.columns"),
    "file: CR alone": (source("file", "cr.csv"), "use tr"),
    "file: an array": (
        source("file", "array.json"),
        'is a JSON array, expected one object a line: kind = "table"',
    ),
    "file: Parquet that is cut off": (source("file", "cut.parquet"), "not a readable Parquet file"),
    "file: columns for Parquet": (
        source("file", "rows.parquet", columns=["id"]),
        "$.source.columns: is not for",
    ),
}

LOOKUPS: dict[str, Case] = {
    "a number for a text": (text(lookups=["a", 5]), "$.lookups[1]: 5 cannot be a key"),
    "a list in the list": (text(lookups=[["a"]]), "$.lookups[0]"),
    "text": (text(lookups="a"), "$.lookups: expected a list of keys"),
    "null": (text(lookups=None), "$.lookups: expected a list of keys"),
    "a kind that is none": (text(lookups={"kind": "uniform"}), '"uniform" is not one of "zipf"'),
    "made up, without a count": (text(lookups={"kind": "zipf", "keys": 1}), "$.lookups.count: is missing"),
    "made up, too many": (text(lookups={"kind": "zipf", "count": 10**9, "keys": 1}), "must be at most"),
    "made up, of no keys": (text(lookups={"kind": "zipf", "count": 1, "keys": 0}), "$.lookups.keys"),
    "a file that is not there": (lookups("no"), "$.lookups: no: cannot be read: no such file"),
    "a folder": (lookups("folder"), "is a directory"),
    "a blank line": (lookups("gap.keys"), "gap.keys:2: the line is blank"),
    "a table": (lookups("rows.csv"), "looks like a table with commas"),
    "a table with semicolons": (lookups("semi.csv"), "looks like a table with semicolons"),
    "a column that is not there": (lookups("rows.csv", column="x"), 'no column "x"'),
    "a number of no column": (lookups("rows.csv", column="9"), "there is none of number 9"),
    "a JSON array": (lookups("array.json"), "is a JSON array, expected one object a line"),
    "JSON without a path": (lookups("fields.jsonl"), "say --field"),
    "a field that is not there": (
        lookups("fields.jsonl", field="x"),
        "no line is a JSON object with the field x",
    ),
    "words": (lookups("words.txt"), "cannot tell where the keys are"),
    "Parquet": (lookups("rows.parquet"), "is a Parquet file"),
    "Excel": (lookups("rows.xlsx"), "is a zip archive"),
    "zeros": (lookups("nul.bin"), "is not text"),
    "CR alone": (lookups("cr.csv"), "use tr"),
    "gzip that is cut off": (lookups("cut.gz"), "gzip data is cut off"),
    "a pattern that is none": (
        lookups("keys", pattern="("),
        "$.lookups.pattern: is not a regular expression",
    ),
    "a pattern without a group": (lookups("keys", pattern="a"), "$.lookups.pattern: has 0 groups"),
    "a pattern and a column": (lookups("keys", pattern="(a)", column="a"), "cannot be combined"),
    "a format of no name": (lookups("keys", format="xml"), '"xml" is not one of'),
    "a status that is none": (lookups("access.log", status=["ok"]), "must be a status"),
    "a method that is none": (lookups("access.log", method=["G T"]), "must be a method"),
    "a method for keys": (lookups("keys", method=["GET"]), "is no log of requests"),
    "a method for all but those there are": (lookups("access.log", method=["PUT"]), "no line is"),
    "a log without the field": (lookups("iis.log"), "has no field cs-uri-stem"),
}

HISTORIES: dict[str, tuple[list[str], str]] = {
    "no log": ([], "--from"),
    "a log that is not there": (["--from", "no"], "no: cannot be read"),
    "a folder": (["--from", "folder"], "is a directory"),
    "an empty log": (["--from", "empty"], "is empty"),
    "a table": (["--from", "rows.csv"], "say --column"),
    "JSON": (["--from", "fields.jsonl"], "say --field"),
    "an array": (["--from", "array.json"], "use jq"),
    "words": (["--from", "words.txt"], "say --column, --field or --pattern"),
    "Parquet": (["--from", "rows.parquet"], "is a Parquet file"),
    "a zip": (["--from", "rows.xlsx"], "is a zip archive"),
    "UTF-16": (["--from", "utf16.csv"], "is UTF-16 text"),
    "a line without end": (["--from", "line.log"], "has a line of more than"),
    "gzip that is cut off": (["--from", "cut.gz", "--column", "id"], "gzip data is cut off"),
    "xz that is cut off": (["--from", "cut.xz", "--column", "id"], "xz data is cut off"),
    "a bomb": (["--from", "bomb.gz"], "has a line of more than"),
    "a second log that is not there": (["--from", "keys", "no"], "no: cannot be read"),
    "no keys of that type": (["--from", "keys", "--key-type", "int"], "no line is"),
    "a pattern that takes all for a key": (["--from", "keys", "--pattern", "(x)"], "no line is"),
    "a size of nothing": (["--from", "keys", "--size", "0"], "--size: 0 is less than 1"),
    "a half life of nothing": (["--from", "keys", "--half-life", "0"], "--half-life: 0.0"),
    "its own log as the journal": (["--from", "keys", "--to", "keys"], "would overwrite"),
    "a folder as the journal": (["--from", "keys", "--to", "folder"], "is a folder"),
}

COMMANDS: dict[str, tuple[list[str], str]] = {
    "a journal that is none": (
        ["--journal", "no.journal"],
        "is not a hot-key journal, and would be replaced",
    ),
    "a journal that is a folder": (["--journal", "folder"], "folder"),
    "a journal in no folder": (["--journal", "no/j"], "no/j"),
    "a journal that is the scenario": (["--journal", "in.json"], "would overwrite"),
    "an output that is the scenario": (["--output", "./in.json"], "would overwrite"),
    "an output that is a folder": (["--output", "folder"], "is a folder"),
    "an output in no folder": (["--output", "no/out.json"], "does not exist"),
    "an option that is none": (["--capasity", "5"], "--capacity"),
    "an option without its value": (["--capacity"], "--capacity"),
    "an argument too many": (["more.json"], "more.json"),
    "a number that is none": (["--ttl", "soon"], "--ttl"),
    "a command that is none": (["repaly"], "repaly"),
}
