"""What a metric is, for whatever library it is told to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Values: TypeAlias = "Iterable[tuple[tuple[str, ...], float]]"
"""Values of one metric, each with those of its labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric. Its name in Prometheus is what OpenTelemetry's exporters make of its name there.

    ``name``
        below ``async_backfill``, such as ``"source.calls"``.
    ``text``
        what it counts, in one sentence.
    ``unit``
        ``"s"`` for seconds; else what is counted, such as ``"{key}"``, or nothing.
    ``labels``
        those besides the name of the cache or the job.
    """

    name: str
    kind: Kind
    text: str
    unit: str = ""
    labels: tuple[str, ...] = ()

    @property
    def otel_name(self) -> str:
        """The name as an instrument of OpenTelemetry."""
        return f"async_backfill.{self.name}"

    @property
    def family(self) -> str:
        """The name as a family of Prometheus, whose samples may have an ending more."""
        unit = "_seconds" if self.unit == "s" else ""
        return self.otel_name.replace(".", "_") + unit

    @property
    def series(self) -> str:
        """The name of its samples in Prometheus; a histogram has several."""
        return self.family + ("_total" if self.kind == "counter" else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact(Metric, Generic[T]):
    """A metric that is read when somebody asks: of the statistics of a cache, or the report of a job."""

    read: Callable[[T], Values]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing(Metric):
    """A histogram of seconds, with the upper ends of its buckets."""

    kind: Kind = "histogram"
    unit: str = "s"
    buckets: tuple[float, ...]


def one(name: str, kind: Kind, unit: str, read: Callable[[T], float | None], text: str) -> Fact[T]:
    """Return a metric with one value, or none."""

    def values(of: T) -> Values:
        return () if (value := read(of)) is None else [((), value)]

    return Fact(name=name, kind=kind, unit=unit, text=text, read=values)


def some(
    name: str, kind: Kind, unit: str, labels: tuple[str, ...], read: Callable[[T], Values], text: str
) -> Fact[T]:
    """Return a metric with a value for each of several labels."""
    return Fact(name=name, kind=kind, unit=unit, labels=labels, text=text, read=read)
