"""Write the programs of the README and of the manual into a folder, for a type checker.

``python -m tests.typing.documents FOLDER``; then ``mypy --config-file= FOLDER``, as somebody who copies one
of them would check it, with no settings.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.docs.reading import DOCUMENTS, examples


def write(folder: Path) -> None:
    """Write each program under a name of its own, and the last one of each name that others import."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.py"):
        old.unlink()
    for program in (example for document in DOCUMENTS for example in examples(document)):
        name = f"{program.document.stem.lower()}_line_{program.line}.py"
        (folder / name).write_text(program.code, "utf-8")
        if program.file:
            (folder / program.file).write_text(program.code, "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
