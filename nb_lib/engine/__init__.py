"""The engine: a packet, a host, and what the kernel does with them, as a stream of events."""

from nb_lib.engine.host import Host
from nb_lib.engine.load import load

__all__ = ["Host", "load"]
