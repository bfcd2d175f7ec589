"""Whatever bytes a file holds: opening it, a load and a scan end, with rows or with an error of ours."""

from __future__ import annotations

import base64
import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill.errors import LoadError, ScenarioError
from async_backfill.sources.file import FileSource
from tests.one_loop import anyio_backend  # noqa: F401 - a fixture

pa = pytest.importorskip("pyarrow")
pytest.importorskip("async_backfill._common.zstd")
from pyarrow import parquet as pq  # noqa: E402 - only if it is installed

from async_backfill._common.zstd import compress  # noqa: E402 - as above
from async_backfill.sources.parquet import ParquetSource  # noqa: E402 - as above

pytestmark = pytest.mark.anyio

KEYS = [f"key_{number}" for number in range(40)]
ROWS = "".join(f'{{"id": "{key}", "v": [1, "two"]}}\n' for key in KEYS).encode()
TABLE = "id,v\n" + "".join(f'{key},"one, two"\n' for key in KEYS)

A_HEADER_THAT_STATES_NO_ROWS = (
    "c-oaxO;5r=5S^_}gN7I+?q)ZsNe|Fq0)8bDWAHFVBt#l53GrNzAn^-"
    "PAu%33`olbU^x%*1M>yL867k|Y%*@WrzBkkDDK@sb$yd3olY=zCQicIQs7;FlPjiu{N{U<DvWt*oEy==_6{;>e23eD_1%nzKo|!P"
    "DO8T;fG4{WCWMWd0iAk@3+#lI_B~{u5Y2CLkI@cjLfhV(uG<xS*sM}h}q$3-GFqN(HF4#P&cEL(1-"
    "NOxGif8e{+>)D^T}J8AfE#+y6uA;zx0DMeF}kouqA>>>MilQ%d@%Q&xv%VhtIX-FPgKMk5xWWTX@Ih25*v+^v;BBU`NcLhid`fG7"
    "~>dmgkBeq5W858O6Ylrz7EQWwJ7o9F%CU{diI})bdQ2cxe_Hu+E#E19eO)sK40rlOKn<iVmyx*=z0~gjfZ3MDM`?b=B?uF=%}eEd"
    "370!1mpQ49DsEC;o$DE^H6B_`-N~YxE(pe&fvaxd*kdBH?}smRi2(&zxFbH<x~2DzX2FpaZL"
)  # two rows, id a and b, v 1 and 2, written by pyarrow; one byte of a page header is another


def parquet(**how) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": KEYS, "v": range(len(KEYS))}), sink, row_group_size=15, **how)
    return sink.getvalue().to_pybytes()


KINDS = {
    "json": (ROWS, lambda path: FileSource(path, key="id")),
    "csv": (TABLE.encode(), lambda path: FileSource(path, key="id")),
    "gzip": (gzip.compress(ROWS), lambda path: FileSource(path, key="id")),
    "zstd": (compress(ROWS, 3), lambda path: FileSource(path, key="id")),
    "parquet": (parquet(), lambda path: ParquetSource(path, key="id")),
    "plain parquet": (
        parquet(compression="none", use_dictionary=False),
        lambda path: ParquetSource(path, key="id"),
    ),
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """One file for all generated contents."""
    return tmp_path_factory.mktemp("scratch") / "file"


async def read_all(source) -> int:
    """Open the source, load each third key, and list all keys; return how many there are."""
    count, cursor = 0, None
    async with source:
        await source.load_many(KEYS[::3])
        while True:
            page = await source.scan(cursor, 9)
            count, cursor = count + len(page.keys), page.cursor
            if cursor is None:
                return count


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(at=st.floats(0, 1, exclude_max=True), wrong=st.integers(1, 255), cut=st.booleans())
async def test_a_file_with_any_wrong_byte_or_cut_off_anywhere_is_read_to_an_end(
    scratch, kind, at, wrong, cut
):
    content, source = KINDS[kind]
    place = int(at * len(content))
    damaged = bytearray(content)
    damaged[place] ^= wrong
    scratch.write_bytes(damaged[:place] if cut else damaged)
    try:
        await read_all(source(scratch))
    except (LoadError, ScenarioError) as error:
        assert "\n" not in str(error)  # noqa: PT017 - it may also be read


async def test_a_row_group_with_fewer_rows_than_it_states_is_an_error_of_the_load(tmp_path):
    path = tmp_path / "rows.parquet"
    path.write_bytes(zlib.decompress(base64.b85decode(A_HEADER_THAT_STATES_NO_ROWS)))
    async with ParquetSource(path, key="id") as source:
        with pytest.raises(LoadError, match="not a readable Parquet file: 0 rows where 2 are stated"):
            await source.load_many(["a"])


async def test_a_page_that_is_not_what_its_checksum_says_is_refused(tmp_path):
    content = parquet(compression="none", use_dictionary=False, write_page_checksum=True)
    path = tmp_path / "rows.parquet"
    path.write_bytes(content.replace(b"key_3", b"kex_3", 1))
    with pytest.raises(ScenarioError, match="not a readable Parquet file: could not verify page integrity"):
        await ParquetSource(path, key="id").open()
