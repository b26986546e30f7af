"""Addresses are read as inet_pton(3) does, also where Python was built without IPv6, as in a browser."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nb_lib.net import strict_address

PIECES = st.sampled_from(
    [
        "0",
        "00",
        "1",
        "fe80",
        "FFFF",
        "12345",
        ":",
        "::",
        ".",
        "%",
        "eth0",
        "/",
        " ",
        "127.0.0.1",
        "g",
    ]
)
WRITTEN = st.one_of(st.lists(PIECES, max_size=17).map("".join), st.ip_addresses(v=6).map(str))


def read(text):
    try:
        return strict_address(text, 6).packed
    except ValueError:
        return None


def by_libc(text):
    try:
        return socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError):
        return None


@given(text=WRITTEN)
@pytest.mark.parametrize("built_with", [True, False])
def test_ipv6_is_read_as_libc_does(built_with, text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "has_ipv6", built_with)
        assert read(text) == by_libc(text)


def test_without_ipv6_the_socket_is_not_asked(monkeypatch):
    """In a browser inet_pton() raises for every IPv6 address."""
    real = socket.inet_pton

    def pton(family, text):
        assert family == socket.AF_INET
        return real(family, text)

    monkeypatch.setattr(socket, "has_ipv6", False)
    monkeypatch.setattr(socket, "inet_pton", pton)
    assert str(strict_address("2001:db8::1", 6)) == "2001:db8::1"
    assert str(strict_address("192.0.2.1", 4)) == "192.0.2.1"
