"""The sockets of userspace mode beside a loop that waits: they live in a thread of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from typing import Any

from nb_lib.kubeproxy.names import PortName
from nb_lib.kubeproxy.tracked import Tracked
from nb_lib.kubeproxy.userspace.proxy import UserspaceProxy

_PATIENCE = 10.0  # seconds for opening and closing sockets


class Sockets:
    """A userspace proxy that listens on every address of the node. Call ``close`` in the end."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._proxy = UserspaceProxy("0.0.0.0")  # noqa: S104 - what rules redirect comes to any address

    def listen(self, tracked: Tracked) -> Mapping[PortName, int]:
        """Open and close sockets, take the endpoints; return each port's socket. Raises as its sync does."""
        self._wait(self._proxy.sync(tracked))
        return dict(self._proxy.ports)

    def close(self) -> None:
        """Close every socket and end the thread."""
        self._wait(self._proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)
