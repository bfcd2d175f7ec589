"""The interface between the command line and its commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from async_backfill._runner.display import ProgressBar

R = TypeVar("R")


class Command(Protocol[R]):
    """A command with its parsed options: it can run, and print its result."""

    @property
    def quiet(self) -> bool:
        """Whether to print errors only."""
        ...

    @property
    def written(self) -> str:
        """One line about the written files, or an empty string."""
        ...

    def progress_bar(self) -> ProgressBar:
        """Return a progress bar for `run`."""
        ...

    def run(self, progress: Callable[[int, int], None], /) -> R:
        """Run the command, in event loops of its own, and return the result.

        :param progress: a function that is called now and then with the work done and the total.
        :raises ScenarioError: when the input cannot be used; nothing is written.
        """
        ...

    def tell(self, result: R, /) -> None:
        """Print ``result`` to standard output, after all files were written."""
        ...
