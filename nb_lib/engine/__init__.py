"""The engine: a packet, a host, and what the kernel does with them, as a stream of events."""

from nb_lib.engine.host import Host

__all__ = ["Host"]
