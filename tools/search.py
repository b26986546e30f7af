"""Index the built pages for the search page, with Pagefind (docs/decisions/search.md)."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
BUNDLE = "_static/pagefind"
# Letters of one word, so that KUBE-SVC, --to-destination, 10.244.1.10:80 and nf_nat_core.c are words.
INSIDE_WORDS = "_-.:/"
# What no reader looks for: link signs behind headings, the drawings (their stories are text), buttons.
LEFT_OUT = (".headerlink", "svg", ".nf-controls")
# Pages that only lead to others: the general index would come before the glossary.
NO_ANSWERS = ("genindex.html", "search.html")
# Bundled user interfaces, which the search page does not use.
UNUSED = ("pagefind-*ui*", "pagefind-highlight.js")
# Sphinx gives an id to the section, Pagefind looks for it at the heading.
SECTION = re.compile(r'<section (id="[^"]*")>(\s*(?:<span id="[^"]*"></span>)*\s*<h\d)>')
# The headings of these pages, and what follows at once, are in the words that people type: they weigh most.
QUESTIONS = "06_questions"
ANSWER = re.compile(r'(<h2 id="[^>]*)>(.*?</h2>\s*<p)>', re.DOTALL)


def main() -> None:
    """Index the book that tools/book.py has built."""
    if not index(ROOT / "_build" / "html"):
        print("▸ no Pagefind for this machine: Sphinx's own search answers")


def index(html: Path) -> bool:
    """Write the index into a built book; False where npm has no Pagefind for this machine."""
    found = (ROOT / "node_modules" / "@pagefind").glob("*/bin/pagefind_extended*")
    program = next((path for path in found if path.suffix in ("", ".exe")), None)
    if program is None:
        return False
    with TemporaryDirectory() as folder:
        for page in html.glob("*.html"):
            if page.name in NO_ANSWERS:
                continue
            text = SECTION.sub(r"<section>\2 \1>", page.read_text(encoding="utf-8"))
            if page.name.startswith(QUESTIONS):
                text = ANSWER.sub(
                    r'\1 data-pagefind-weight="10">\2 data-pagefind-weight="8">', text
                )
            (Path(folder) / page.name).write_text(text, encoding="utf-8")
        command: list[str | Path] = [program, "--silent", "--site", folder]
        command += ["--output-path", html / BUNDLE, "--include-characters", INSIDE_WORDS]
        command += ["--root-selector", "article.bd-article"]
        command += ["--exclude-selectors", ", ".join(LEFT_OUT)]
        subprocess.run(command, check=True)
    for pattern in UNUSED:
        for path in (html / BUNDLE).glob(pattern):
            path.unlink()
    return True


if __name__ == "__main__":
    main()
