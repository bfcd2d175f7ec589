"""zstd: complete data is read, damaged data is refused."""

from __future__ import annotations

import random
import sys

import pytest

from async_backfill.errors import ScenarioError
from async_backfill.sources.file import FileSource
from tests.real_time import anyio_backend  # noqa: F401 - a fixture

zstd = pytest.importorskip("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
from async_backfill.sources.zstd import unpack_zstd  # noqa: E402 - only if it is installed

pytestmark = pytest.mark.anyio

NOISE = random.Random(1)
TABLE = {f"{number}": f"{NOISE.getrandbits(256):x}" for number in range(5000)}
ROWS = ("id,v\n" + "".join(f"{key},{value}\n" for key, value in TABLE.items())).encode()


def opened(tmp_path, content, **settings):
    path = tmp_path / "rows"
    path.write_bytes(content)
    return FileSource(path, key="id", value="v", unpack=unpack_zstd, **settings)


async def refusal(source):
    with pytest.raises(ScenarioError) as refused:
        await source.open()
    return str(refused.value)


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(zstd.compress(ROWS), id="one frame"),
        pytest.param(
            b"".join(zstd.compress(ROWS[i : i + 9999]) for i in range(0, len(ROWS), 9999)), id="frames"
        ),
    ],
)
async def test_one_frame_or_many_are_read(tmp_path, packed):
    async with opened(tmp_path, packed) as source:
        assert (await source.scan(None, 9999)).keys == tuple(TABLE)
        assert await source.load_many([*TABLE]) == TABLE


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda packed: packed[:-1], id="cut off at the end"),
        pytest.param(lambda packed: packed[: len(packed) // 2], id="cut off in the middle"),
        pytest.param(lambda packed: packed[:4], id="nothing but the magic number"),
        pytest.param(lambda packed: packed + b"more", id="something after it"),
        pytest.param(lambda packed: packed[:5000] + b"\xff" * 100 + packed[5100:], id="wrong data"),
        pytest.param(lambda packed: packed[4:], id="no magic number"),
    ],
)
async def test_what_is_damaged_is_refused(tmp_path, damage):
    packed = zstd.compress(ROWS, options={zstd.CompressionParameter.checksum_flag: 1})
    message = await refusal(opened(tmp_path, damage(packed)))
    assert message.startswith(f"{tmp_path / 'rows'}: the packed content is cut off or damaged: ")
    assert "\n" not in message


async def test_a_bomb_is_bounded(tmp_path):
    bomb = zstd.compress(bytes(100_000_000))
    assert len(bomb) < 10_000
    message = await refusal(opened(tmp_path, bomb, max_unpacked=1_000_000))
    assert message == f"{tmp_path / 'rows'}: unpacks to more than max_unpacked=1000000 bytes"
