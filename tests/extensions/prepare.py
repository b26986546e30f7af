"""What rules may name, made in a namespace of its own: ipsets, rate estimators, accounting objects.

``python -m tests.extensions.prepare`` runs in the namespace in which rules are judged.
"""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess

from nb_lib.kinds import octets
from tests.extensions.rules import WORDS

_ESTIMATOR = "-A estimators -j RATEEST --rateest-interval 1s --rateest-ewmalog 2s --rateest-name"
_NFNETLINK, _NEW_ACCOUNT, _CREATE = (
    12,
    7 << 8,
    0x401,
)  # NETLINK_NETFILTER, NFNL_SUBSYS_ACCT, REQUEST|CREATE
_WRITTEN = ("x", "b", "a/b_c", "averyveryveryverylongnameofmany")  # names in written.txt
_SHOWN = ("bad", "knocked", "up", "web")  # names in the book's appendix of matches and targets
_NAME = 1  # NFACCT_NAME


def _names() -> list[str]:
    return sorted({word.strip('"') for word in (*WORDS, *_WRITTEN, *_SHOWN)} - {""})


def _estimators() -> str:
    names = dict.fromkeys(name[:15] for name in _names())
    rules = [f'{_ESTIMATOR} "{name}"' for name in names]
    return "\n".join(["*filter", ":estimators - [0:0]", *rules, "COMMIT", ""])


def _account(wire: socket.socket, name: str) -> None:
    """Make an accounting object. Linux: net/netfilter/nfnetlink_acct.c nfnl_acct_new()."""
    text = octets(name)[:31] + b"\0"
    attribute = struct.pack("HH", 4 + len(text), _NAME) + text + bytes(-len(text) % 4)
    message = struct.pack("BBH", 0, 0, 0) + attribute
    wire.send(struct.pack("IHHII", 16 + len(message), _NEW_ACCOUNT, _CREATE, 1, 0) + message)


def prepare() -> None:
    """Make everything."""
    sets = "create s4 hash:ip\ncreate s6 hash:ip family inet6\n"
    sets += "create bad hash:net,port\ncreate knocked hash:ip timeout 30\n"
    subprocess.run(["ipset", "restore"], input=sets, text=True, check=True)
    if shutil.which("modprobe"):  # -j CT --helper names it
        subprocess.run(["modprobe", "-a", "nf_conntrack_ftp"], check=False, capture_output=True)
    subprocess.run(["iptables-nft-restore"], input=_estimators(), text=True, check=True)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NFNETLINK) as wire:
        for name in _names():
            _account(wire, name)


if __name__ == "__main__":
    prepare()
