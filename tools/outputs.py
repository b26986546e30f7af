"""Execute the chapters in place and store their outputs, byte for byte the same each time.

What the kernel adds and nobody reads (times, versions, the machine's paths in a
traceback) is left out; nbval then compares what remains.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
CELL_SECONDS = 60

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"file_extension": ".py", "name": "python", "pygments_lexer": "ipython3"}
KEPT_CELL_METADATA = {"mystnb", "slideshow", "tags"}
TERMINAL_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def chapters() -> list[Path]:
    """Return the book's notebooks in reading order."""
    return sorted(BOOK.glob("*.ipynb"))


def execute(path: Path) -> str:
    """Run a notebook in a fresh kernel, in its own folder; return it with the outputs."""
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        shutdown_kernel="immediate",  # nothing is left to save; a polite stop can take 4 s
    )
    client.execute()
    return normal(notebook)


def normal(notebook: Any) -> str:
    """Return a notebook's text without what differs from one machine or run to the next."""
    notebook.metadata = {"kernelspec": KERNEL, "language_info": LANGUAGE}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for cell in notebook.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k in KEPT_CELL_METADATA}
        if cell.cell_type == "code":
            cell.outputs = joined([steady(output) for output in cell.outputs])
    text: str = nbformat.writes(notebook, version=4)  # type: ignore[no-untyped-call]
    return text + "\n"


def steady(output: Any) -> Any:
    """Return an output without metadata, colours and the paths that a traceback names."""
    if "metadata" in output:
        output["metadata"] = {}
    if output.output_type == "error":
        output["evalue"] = TERMINAL_COLOUR.sub("", output["evalue"])
        output["traceback"] = [f"{output['ename']}: {output['evalue']}"]
    return output


def joined(outputs: list[Any]) -> list[Any]:
    """Join neighbouring pieces of one stream: where the kernel cut them is chance."""
    result: list[Any] = []
    for output in outputs:
        last = result[-1] if result else None
        if last and output.output_type == "stream" == last.output_type and output.name == last.name:
            last["text"] += output["text"]
        else:
            result.append(output)
    return result


def main(names: list[str]) -> None:
    """Rewrite the named chapters, or all."""
    for path in [Path(name) for name in names] or chapters():
        start = time.monotonic()
        print(f"▸ {path.name} …", end=" ", flush=True)
        before, after = path.read_text(encoding="utf-8"), execute(path)
        if after != before:
            path.write_text(after, encoding="utf-8")
        print(
            f"{'as before' if after == before else 'rewritten'}, {time.monotonic() - start:.1f} s"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
