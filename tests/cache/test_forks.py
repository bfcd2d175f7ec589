"""Caches, sources and random numbers in forked processes: nothing is shared that must differ."""

from __future__ import annotations

import gzip
import json
import sys

import pytest

from tests.forked import printed_by

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")


def test_in_a_forked_process_an_open_cache_is_closed_and_may_be_opened():
    lines = printed_by("""
        async def main():
            cache = BackfillCache(MappingSource({"a": 1, "b": 2}))

            def hit():
                return asyncio.run(cache.get("a"))

            def miss():
                return asyncio.run(cache.get("b"))

            def put():
                return asyncio.run(cache.put("b", 3))

            async def own():
                async with cache:
                    return await cache.get_many("ab"), cache.stats.hits

            async with cache:
                await cache.get("a")
                for work in (hit, miss, put, lambda: cache.peek("a"), lambda: asyncio.run(own())):
                    print(in_child(work)())
                print(await cache.get_many("ab"))

        asyncio.run(main())
    """)

    for line in lines[:4]:
        assert line.startswith("CacheClosedError: the cache was opened before this process was forked")
        assert "async with cache:" in line
    assert lines[4:] == ["({'a': 1, 'b': 2}, 1)", "{'a': 1, 'b': 2}"]


def test_forked_workers_open_an_inherited_cache_each_with_names_and_draws_of_its_own():
    lines = printed_by("""
        import multiprocessing

        cache = BackfillCache(
            MappingSource({"a": 1}),
            scan=MappingSource({"a": 1}),
            freshness=FreshnessPolicy(ttl=60, jitter=0.5),
        )

        async def use():
            async with cache:
                value = await cache.get("a")
                record = await cache.force_backfill()
            return value, record.process, cache._near.fresh_until["a"]

        def work(answers):
            answers.put(asyncio.run(use()))

        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()
        workers = [context.Process(target=work, args=(answers,)) for _ in range(3)]
        for worker in workers:
            worker.start()
        told = [answers.get() for _ in workers]
        for worker in workers:
            worker.join()
        print({value for value, _, _ in told})
        print({process.rpartition(":")[2] for _, process, _ in told} == {str(one.pid) for one in workers})
        draws = [in_child(lambda: cache._near.fresh._draw())() for _ in range(3)]
        print(len(set(draws)))
    """)

    assert lines == ["{1}", "True", "3"]


def test_forked_workers_read_a_packed_file_each_at_its_own_place(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wt") as file:
        for number in range(800):
            file.write(json.dumps({"key": f"k{number}", "value": f"{number} " + "x" * 200}) + "\n")
    lines = printed_by(
        """
        from async_backfill.sources.file import FileSource

        source = FileSource(sys.argv[1], key="key", value="value")

        async def read(start):
            keys = [f"k{number}" for number in range(start, 800, 7)]
            for _ in range(3):
                for begin in range(0, len(keys), 20):
                    found = await source.load_many(keys[begin : begin + 20])
                    assert all(found[key].split()[0] == key[1:] for key in keys[begin : begin + 20])
                cursor, count = None, 0
                while True:
                    page = await source.scan(cursor, 300)
                    count, cursor = count + len(page.keys), page.cursor
                    if cursor is None:
                        break
                assert count == 800
            return "right"

        asyncio.run(source.open())
        readers = [in_child(lambda start=start: asyncio.run(read(start))) for start in range(3)]
        print(asyncio.run(read(3)))
        for told in readers:
            print(told())
        print(in_child(lambda: asyncio.run(source.aclose()))())
        print(asyncio.run(read(4)))
        asyncio.run(source.aclose())
        """,
        str(path),
    )

    assert lines == ["right"] * 4 + ["None", "right"]
