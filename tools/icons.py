"""Cut the theme's icon fonts down to the icons that its pages use.

The theme brings Font Awesome whole: 540 KB of script, compressed, and a font of 156 KB, on each page
before anything else. Its style sheet draws an icon as a letter of a font; so a font of the thirty letters
in use, and a face of the same name in front of the theme's, do the same in a few KB. An icon that is not
among them still comes from the theme's own font (``unicode-range``), only later.
"""

from __future__ import annotations

import hashlib
import re
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "book" / "_assets" / "vendor" / "icons"
THEME = "pydata_sphinx_theme/theme/pydata_sphinx_theme/static"
FONTS = "vendor/fontawesome/webfonts"
STYLE = "styles/pydata-sphinx-theme.css"

# What the two themes' templates and buttons name; tests/book/test_pages.py misses one that is not here.
ICONS = (
    *(
        "angle-left",
        "angle-right",
        "arrow-up",
        "bars",
        "chevron-down",
        "circle-half-stroke",
        "download",
    ),
    *(
        "expand",
        "file",
        "file-lines",
        "file-pdf",
        "home",
        "lightbulb",
        "list",
        "magnifying-glass",
        "moon",
    ),
    *("outdent", "pencil", "pencil-alt", "play", "rocket", "sun", "xmark", "github"),
)
# family and weight as the theme's style sheet names them → its file
FACES = {
    ("Font Awesome 6 Free", 900): "fa-solid-900",
    ("Font Awesome 6 Brands", 400): "fa-brands-400",
}


def main() -> None:
    """Write a font for each face, and the style sheet that names them; neither if this theme's are there."""
    about, sheet = distribution("pydata-sphinx-theme"), VENDOR / "icons.css"
    made = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    told = f"/* pydata-sphinx-theme {about.version}, {made} */"
    if sheet.is_file() and sheet.read_text(encoding="utf-8").startswith(told):
        return
    theme = Path(str(about.locate_file(THEME)))
    wanted = letters((theme / STYLE).read_text(encoding="utf-8"))
    VENDOR.mkdir(parents=True, exist_ok=True)
    rules = [face(theme, *name, file, wanted) for name, file in FACES.items()]
    sheet.write_text("\n".join([told, *rules]) + "\n", encoding="utf-8")


def letters(style: str) -> set[int]:
    """Return the code points of ``ICONS``, and of the icons that the style sheet itself puts somewhere.

    A missing name is a ``KeyError``: the theme has renamed it.
    """
    named = {
        name: int(code, 16)
        for names, code in re.findall(r'([^{}]*)\{content:"\\([0-9a-f]+)"\}', style)
        for name in re.findall(r"\.fa-([a-z0-9-]+):before", names)
    }
    placed = re.findall(r'--pst-icon-[a-z-]+:"(.)"', style)
    return {named[name] for name in ICONS} | {ord(letter) for letter in placed}


def face(theme: Path, family: str, weight: int, file: str, wanted: set[int]) -> str:
    """Write one font's part of ``wanted``; return its ``@font-face``."""
    from fontTools import subset

    options = subset.Options(flavor="woff", layout_features=[], hinting=False, notdef_outline=True)
    font = subset.load_font(str(theme / FONTS / f"{file}.ttf"), options)
    found = sorted(wanted & set(font.getBestCmap()))
    cut = subset.Subsetter(options)
    cut.populate(unicodes=found)
    cut.subset(font)
    subset.save_font(font, str(VENDOR / f"{file}.woff"), options)
    ranges = ", ".join(f"U+{code:X}" for code in found)
    return (
        f'@font-face {{ font-family: "{family}"; font-weight: {weight}; font-display: block;'
        f' src: url({file}.woff) format("woff"); unicode-range: {ranges}; }}'
    )


if __name__ == "__main__":
    main()
