"""Lay out what Python in a page brings: nb_lib and data/ as a wheel, and the libraries that are pure Python.

They come to book/_assets/vendor/python/, beside Pyodide (tools/assets.py), and from there into
each build. The same files give the same bytes, so that nothing is built again for their sake.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import io
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHELF = ROOT / "book" / "_assets" / "vendor" / "python"
# What nb_lib imports where it is used: distribution → package. Compiled parts are left out; these
# libraries work without.
LIBRARIES = {"scapy": "scapy", "PyYAML": "yaml"}
LEFT_OUT = {"__pycache__"}
SINCE_1980 = (1980, 1, 1, 0, 0, 0)  # a zip file knows no earlier time

Files = Mapping[str, bytes]


def main() -> None:
    """Write each archive whose content is new."""
    SHELF.mkdir(parents=True, exist_ok=True)
    archives = {"nb_lib.whl": zipped(wheel())}
    archives |= {
        f"{package}.zip": zipped(library(name, package)) for name, package in LIBRARIES.items()
    }
    for old in SHELF.iterdir():
        if old.name not in archives:
            old.unlink()
    for name, content in archives.items():
        path = SHELF / name
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)
            print(f"▸ Python in the page: {name}, {len(content) / 1e6:.2f} MB")


def project() -> tuple[str, str]:
    """Return the name and version that pyproject.toml states."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return about["name"].replace("-", "_"), about["version"]


def wheel() -> Files:
    """Return the files of the wheel: nb_lib, data/ beside it where ``load`` looks, and what wheels must hold.

    Source: the binary distribution format of the Python Packaging User Guide.
    """
    name, version = project()
    info = f"{name}-{version}.dist-info"
    files = {**tree(ROOT / "nb_lib", ROOT), **tree(ROOT / "data", ROOT)}
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()
    )
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    listed = [
        f"{path},sha256={digest(content)},{len(content)}\n" for path, content in files.items()
    ]
    files[f"{info}/RECORD"] = "".join([*listed, f"{info}/RECORD,,\n"]).encode()
    return files


def library(distribution: str, package: str) -> Files:
    """Return the Python files of an installed library, and its licence."""
    found = importlib.metadata.files(distribution) or []
    wanted = [
        path
        for path in found
        if (path.parts[0] == package and path.suffix == ".py") or path.name.startswith("LICENSE")
    ]
    assert wanted, f"{distribution} is not installed as requirements.txt says"
    return {str(path): Path(str(path.locate())).read_bytes() for path in wanted}


def tree(top: Path, root: Path) -> Files:
    """Return the files under a folder by their paths from ``root``."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(top.rglob("*"))
        if path.is_file() and not LEFT_OUT & set(path.parts)
    }


def digest(content: bytes) -> str:
    """Return a digest as RECORD writes it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def zipped(files: Files) -> bytes:
    """Return an archive whose bytes depend on nothing but its files."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path, SINCE_1980)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, compresslevel=9)
    return target.getvalue()


if __name__ == "__main__":
    main()
