"""What the chapters store: a reader without a kernel sees it as the truth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

BOOK = Path(__file__).resolve().parents[1] / "book"


@pytest.mark.parametrize("path", sorted(BOOK.glob("*.ipynb")), ids=lambda path: path.stem)
def test_no_cell_fails_where_no_mistake_is_shown(path):
    """A picture that fails in ``display`` is stored like an output, and nbclient goes on."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    coded = [cell for cell in cells if cell["cell_type"] == "code"]
    assert coded
    failed = [
        "".join(cell["source"])
        for cell in coded
        if "raises-exception" not in cell["metadata"].get("tags", ())
        for output in cell["outputs"]
        if output["output_type"] == "error" or output.get("name") == "stderr"
    ]
    assert failed == []
