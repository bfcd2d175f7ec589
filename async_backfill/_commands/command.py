"""What the command line asks of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._runner.display import ProgressBar

R = TypeVar("R")


class Command(Protocol[R]):
    """A command whose options were understood: what to do, and how to tell of it."""

    @property
    def quiet(self) -> bool:
        """Whether to print nothing but complaints."""
        ...

    @property
    def written(self) -> str:
        """What to say of the files that were written, in one line, or nothing."""
        ...

    def progress_bar(self) -> ProgressBar:
        """Return what shows how far `run` is."""
        ...

    def run(self, progress: Callable[[int, int], None], /) -> R:
        """Do it, in event loops of its own, and return what came of it.

        :param progress: is called now and then with what is done and what there is to do.
        :raises ScenarioError: when the input cannot be used; nothing is written.
        """
        ...

    def tell(self, result: R, /) -> None:
        """Print what came of it to standard output; the files are on the disk by now."""
        ...
