"""Endpoints and clients on loopback, to try a userspace proxy with: real sockets, no other machine.

All of 127.0.0.0/8 is this machine, so each endpoint and each client can have an address of its own. (Linux
takes them as they are; macOS wants each but 127.0.0.1 to be added to lo0 first.)
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self, cast

_PATIENCE = 5.0  # seconds for an answer
_CHUNK = 65_536
_TRIES = 20  # to find a port that is free for TCP and UDP at each address


class Endpoints:
    """Servers of TCP and UDP on some addresses, all on one ``port``, as a Service's pods are.

    An endpoint answers ``127.0.0.2 saw 127.0.0.1: `` and what it was sent: its own address, and that of
    whoever sent it. Use it with ``async with``, or call ``open`` and ``close``; ``stop`` ends one of them,
    ``start`` brings it back.
    """

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.port = 0
        self._running: dict[str, tuple[asyncio.Server, asyncio.DatagramTransport]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def open(self) -> Self:
        """Start all of them. Raises OSError if the addresses are not this machine's."""
        for tries_left in reversed(range(_TRIES)):
            try:
                for address in self.addresses:
                    await self.start(address)
            except OSError:
                await self.close()
                self.port = 0
                if not tries_left:
                    raise
            else:
                break
        return self

    async def start(self, address: str) -> None:
        """Start one."""
        server = await asyncio.start_server(self._serve, address, self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: _Answering(address), (address, self.port)
            )
        except OSError:
            server.close()
            raise
        self._running[address] = server, transport

    async def stop(self, *addresses: str) -> None:
        """Stop some: who connects from now on is refused."""
        for address in addresses:
            server, transport = self._running.pop(address)
            server.close()
            transport.close()
        await asyncio.sleep(0)  # lets transports say that they are closed

    async def close(self) -> None:
        """Stop all of them and end every connection."""
        await self.stop(*self._running)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            own, other = (writer.get_extra_info(name)[0] for name in ("sockname", "peername"))
            writer.write(_saying(own, other))
            while data := await reader.read(_CHUNK):
                writer.write(data)
                await writer.drain()
        except OSError:  # the client broke off
            pass
        finally:
            await _closed(writer)


class _Answering(asyncio.DatagramProtocol):
    """The UDP side of an endpoint."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(_saying(self.address, addr[0]) + data, addr)


def _saying(own: str, other: str) -> bytes:
    return f"{own} saw {other}: ".encode()


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


# ── Clients ─────────────────────────────────────────────────────────────────────────


async def ask(port: int, text: str = "hello", *, client: str = "127.0.0.9",
              host: str = "127.0.0.1") -> str:  # fmt: skip
    """Connect from ``client``, send a text, end that side, and return the answer, whole.

    The answer is empty if the connection was closed without one. Raises ConnectionRefusedError if nobody
    listens, TimeoutError if nothing comes for five seconds.
    """
    async with asyncio.timeout(_PATIENCE):
        reader, writer = await asyncio.open_connection(host, port, local_addr=(client, 0))
        try:
            writer.write(text.encode())
            writer.write_eof()
            return (await reader.read()).decode()
        except ConnectionResetError:
            return ""
        finally:
            await _closed(writer)


class UdpClient:
    """A client that keeps its socket, as a resolver may: ``async with UdpClient(port) as client``."""

    def __init__(self, port: int, *, client: str = "127.0.0.9", host: str = "127.0.0.1") -> None:
        self._ends = (client, 0), (host, port)
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        self._transport: asyncio.DatagramTransport

    async def __aenter__(self) -> Self:
        own, other = self._ends
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Hearing(self._heard), local_addr=own, remote_addr=other
        )
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._transport.close()
        await asyncio.sleep(0)

    async def ask(self, text: str = "hello") -> str:
        """Send a datagram and return the answer. Raises TimeoutError if none comes for five seconds."""
        self._transport.sendto(text.encode())
        async with asyncio.timeout(_PATIENCE):
            return (await self._heard.get()).decode()


class _Hearing(asyncio.DatagramProtocol):
    def __init__(self, heard: asyncio.Queue[bytes]) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, _addr: tuple[str, int]) -> None:
        self._heard.put_nowait(data)
