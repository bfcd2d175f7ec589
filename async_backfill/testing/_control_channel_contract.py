"""Contract tests for the channel that brings orders to all caches of a fleet."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from anyio import create_task_group, fail_after, sleep

from async_backfill.contracts import ControlOrder
from async_backfill.testing._calls import PATIENCE, give_up, moments, together
from async_backfill.testing._claims import holds, same

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill.contracts import ControlChannel, ControlVerb

_KEPT: Final = 100
_FIRST_PAUSE: Final = 0.01


class ControlChannelContract:
    """Tests of the promises of `ControlChannel`; inherit from it, and give ``channel`` and ``others``.

    These two fixtures belong to two processes of one fleet, to which nobody has given an order yet. Use it
    as `FarStoreContract`.
    """

    async def test_what_is_sent_comes_back_as_it_was(
        self, channel: ControlChannel, others: ControlChannel
    ) -> None:
        sent = [
            _order("pause", reason='the source "suffers"\n\u2013 since noon', id="1"),
            _order("retune", details={"rate": 2.5, "batch": None}, id="2"),
            _order("invalidate", key="k \u2013", id="3"),
            _order("approve", details={"permits": 3}, by="bob", id="4"),
        ]
        versions = [await channel.send(order) for order in sent]
        for asked in (channel, others):
            found = await asked.since(0)
            same([order.version for order in found], versions, "orders have the versions that were returned")
            same(
                [_facts(order) for order in found], [_facts(order) for order in sent], "and all else as sent"
            )

    async def test_at_first_nothing_stands(self, channel: ControlChannel, others: ControlChannel) -> None:
        for asked in (channel, others):
            version, standing = await asked.standing()
            same((version, list(standing)), (0, []), "nobody has ordered anything")
            same(list(await asked.since(0)), [], "there is no order")

    async def test_since_has_what_came_later_oldest_first(
        self, channel: ControlChannel, others: ControlChannel
    ) -> None:
        versions = [await (channel, others)[at % 2].send(_order("cancel")) for at in range(5)]
        holds(f"versions rise with each order, they were {versions}", kept=_rises([0, *versions]))
        for at, version in enumerate(versions):
            found = [order.version for order in await others.since(version)]
            same(found, versions[at + 1 :], "those after a version, and no other")

    async def test_the_latest_order_that_decides_something_stands(
        self, channel: ControlChannel, others: ControlChannel
    ) -> None:
        await channel.send(_order("pause"))
        off = await others.send(_order("off"))
        resumed = await others.send(_order("resume"))
        await channel.send(_order("approve", details={"permits": 3}))
        latest = await channel.send(_order("invalidate", key="k"))
        for asked in (channel, others):
            version, standing = await asked.standing()
            same(version, latest, "the version is that of the latest order, also where that decides nothing")
            found = [(order.version, order.verb) for order in standing]
            same(found, [(off, "off"), (resumed, "resume")], "what stands is in the order of versions")

    async def test_each_setting_of_a_retune_stands_by_itself(
        self, channel: ControlChannel, others: ControlChannel
    ) -> None:
        both = await channel.send(_order("retune", details={"rate": 100.0, "batch": 50}))
        rate = await others.send(_order("retune", details={"rate": None}))
        _, standing = await others.standing()
        same([order.version for order in standing], [both, rate], "the first still decides about the batch")
        again = await channel.send(_order("retune", details={"batch": 7}))
        _, standing = await channel.standing()
        same([order.version for order in standing], [rate, again], "and then about nothing")

    async def test_orders_given_at_once_are_in_one_order_for_all(
        self, channel: ControlChannel, others: ControlChannel
    ) -> None:
        verbs: Sequence[ControlVerb] = ("pause", "resume") * 10
        calls = [
            partial((channel, others)[at // 2 % 2].send, _order(verb, id=str(at)))
            for at, verb in enumerate(verbs)
        ]
        versions = await together(*calls)
        same(len(set(versions)), len(verbs), "no two orders have one version")
        last = versions.index(max(versions))
        for asked in (channel, others):
            version, (standing,) = await asked.standing()
            same((version, standing.version), (max(versions), max(versions)), "the latest one stands")
            same((standing.verb, standing.id), (verbs[last], str(last)), "as it was given")
            found = [order.id for order in await asked.since(0)]
            same(found, sorted(found, key=lambda at: versions[int(at)]), "all see one order of orders")

    async def test_a_hundred_orders_are_kept_and_what_stands_for_ever(
        self, channel: ControlChannel, others: ControlChannel
    ) -> None:
        off = await channel.send(_order("off"))
        versions = [await channel.send(_order("cancel")) for _ in range(_KEPT + 2)]
        found = [order.version for order in await others.since(0)]
        holds(f"{len(found)} orders were kept", kept=0 < len(found) <= _KEPT)
        same(found, versions[-len(found) :], "the latest are kept, without a gap")
        same([order.version for order in (await others.standing())[1]], [off], "what stands is never lost")

    async def test_who_listens_hears_that_there_are_orders(
        self, channel: ControlChannel, others: ControlChannel
    ) -> None:
        for listener, sender in ((others, channel), (channel, others)):
            heard: list[int] = []
            async with create_task_group() as tasks:
                tasks.start_soon(listener.listen, partial(heard.append, 1))
                for _ in range(2):  # the first may be because it has connected
                    heard.clear()
                    pause = _FIRST_PAUSE
                    with fail_after(PATIENCE):
                        while not heard:
                            await sender.send(_order("cancel"))
                            await sleep(pause)
                            pause *= 1.5
                tasks.cancel_scope.cancel()

    async def test_a_cancelled_order_is_taken_once_at_the_most(
        self, channel: ControlChannel, others: ControlChannel
    ) -> None:
        async def send() -> None:
            await channel.send(_order("cancel"))

        for moment in await moments(send):
            before = (await others.standing())[0]
            await give_up(send, moment)
            after = await channel.send(_order("pause"))
            holds(f"{after - before - 1} were taken", kept=len(await others.since(before)) in {1, 2})


def _order(verb: ControlVerb, **facts: Any) -> ControlOrder:
    given: dict[str, Any] = {"by": "ada", "reason": "why", "time": 1.5}
    return ControlOrder(verb=verb, **(given | facts))


def _facts(order: ControlOrder) -> tuple[object, ...]:
    who = (order.verb, order.by, order.reason, order.time)
    return (*who, dict(order.details), order.key, order.id)


def _rises(versions: Sequence[int]) -> bool:
    return all(before < after for before, after in pairwise(versions))
