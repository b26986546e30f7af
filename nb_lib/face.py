"""The face's names, brought together when one of them is first asked for (``nb_lib.__getattr__``)."""

from nb_lib import hooks
from nb_lib.cli import iptables
from nb_lib.engine import Host, load
from nb_lib.errors import NbError, RulesetError
from nb_lib.monitor import read_trace
from nb_lib.packet import Packet, icmp, tcp, udp
from nb_lib.text import check
from nb_lib.text.either import parse, save
from nb_lib.views import draw
from nb_lib.widget import live, terminal

__all__ = [
    "Host",
    "NbError",
    "Packet",
    "RulesetError",
    "check",
    "draw",
    "hooks",
    "icmp",
    "iptables",
    "live",
    "load",
    "parse",
    "read_trace",
    "save",
    "tcp",
    "terminal",
    "udp",
]
