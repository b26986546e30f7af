"""Libraries for Python in the reader's browser, where little is installed.

Those of ``BESIDE`` are pure Python; they lie beside the page and are brought when they are first imported.
Those of ``ABSENT`` cannot be had for this Python. They can be imported all the same, since a chapter imports
in its first cell what its last one uses, and fail where they are used.
"""

from __future__ import annotations

import importlib
import io
import logging
import socket
import zipfile
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from ipaddress import IPv6Address
from types import ModuleType
from typing import Any

BESIDE = ("scapy", "yaml")  # tools/wheels.py writes an archive of each
ABSENT = ("pandas", "matplotlib", "numpy")


class AbsentError(ModuleNotFoundError):
    """A library was used that cannot be had here; ``name`` is the library's."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} cannot be had for Python in the browser", name=name)


class Shelf(MetaPathFinder, Loader):
    """Finds libraries that are not installed: those beside the page, stand-ins for those that are absent."""

    def __init__(self, bring: Callable[[str], bytes], home: str) -> None:
        """``bring``: an archive's name → its bytes; ``home``: the folder of ``sys.path`` it is laid in."""
        self.bring, self.home = bring, home
        self.beside = set(BESIDE)

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        """Find a library's stand-in, or the library itself once it has been brought."""
        library = name.partition(".")[0]
        if library not in self.beside:
            return ModuleSpec(name, self, is_package=True) if library in ABSENT else None
        zipfile.ZipFile(io.BytesIO(self.bring(f"{library}.zip"))).extractall(self.home)
        self.beside.remove(library)
        importlib.invalidate_caches()
        if library == "scapy":
            ready_for_scapy()
        return PathFinder.find_spec(name)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the stand-in."""
        return Absent(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: there is nothing to execute."""


class Absent(ModuleType):
    """Stands for a library that cannot be had: its settings may be set, whatever else is used fails."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in {"set_option", "rcParams", "options"}:
            return Setting()
        raise AbsentError(self.__name__.partition(".")[0])


class Setting(dict[str, Any]):
    """A setting of an absent library, which takes what it is given: ``pd.options.display.width = 80``."""

    def __getattr__(self, name: str) -> Setting:
        if name.startswith("__"):
            raise AttributeError(name)
        return Setting()

    def __call__(self, *_args: object, **_options: object) -> None:
        """Set an option, of which nothing comes."""


def without_sockets(loop: type) -> None:
    """Let an event loop's class say of sockets what the stand-ins say of libraries: a browser has none."""

    def missing(*_args: object, **_options: object) -> None:
        raise AbsentError("sockets")

    for name in ("create_server", "create_connection", "create_datagram_endpoint"):
        setattr(loop, name, missing)


def ready_for_scapy() -> None:
    """Give scapy what it asks for at its start, and let it not say that it cannot send from here.

    Python in a browser is built without IPv6, and scapy then refuses IPv6 headers; all that it needs are
    these two functions.
    """
    logging.getLogger("scapy.loading").setLevel(logging.CRITICAL + 1)
    if socket.has_ipv6:
        return
    pton, ntop = socket.inet_pton, socket.inet_ntop

    def inet_pton(family: int, text: str) -> bytes:
        return IPv6Address(text).packed if family == socket.AF_INET6 else pton(family, text)

    def inet_ntop(family: int, packed: bytes) -> str:
        return str(IPv6Address(packed)) if family == socket.AF_INET6 else ntop(family, packed)

    socket.inet_pton, socket.inet_ntop = inet_pton, inet_ntop  # type: ignore[assignment]
    socket.has_ipv6 = True
