"""The hosts in data/, as texts by name."""

from __future__ import annotations

from pathlib import Path

from nb_lib.engine.load import FILES

DATA = Path(__file__).parents[2] / "data"
NODE = ("ip-addr.json", "ip-route.json", "sysctl.txt")  # of all kube-proxy dumps


def folders() -> list[str]:
    """Return the folders that hold a dump."""
    return sorted({str(file.parent.relative_to(DATA)) for file in DATA.rglob("ip*tables-save.txt")})


def files(folder: str) -> dict[str, str]:
    """Return what a folder says of its host."""
    found = {
        name: (DATA / folder / name).read_text()
        for name in FILES
        if (DATA / folder / name).exists()
    }
    if folder.startswith("kube-proxy/"):
        found |= {name: (DATA / "kube-proxy" / name).read_text() for name in NODE}
    return found
