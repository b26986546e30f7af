"""nb_lib: Linux packet filtering and Kubernetes service routing, to be looked at.

Fourteen names are enough::

    host = load("data/kube-proxy/nginx-3-endpoints/1.21.1")
    trace = host.receive(tcp("10.20.0.200:40000", "4.3.2.1:80"), "eth1")
    trace                       # the diagram; print(trace) tells the story
    trace.table()               # the steps as a DataFrame
    host.explore(tcp("10.20.0.200:40000", "4.3.2.1:80"), "eth1")   # all ways, exact chances
    draw(host.ruleset["nat"])   # the chains, without a packet
    draw(hooks)                 # where a rule can see a packet
    live(host, tcp("10.20.0.200:40000", "4.3.2.1:80"), "eth1")     # in Jupyter: edit the packet
"""

from nb_lib import hooks
from nb_lib.engine import Host, load
from nb_lib.errors import NbError, RulesetError
from nb_lib.packet import Packet, icmp, tcp, udp
from nb_lib.text import check, parse, save
from nb_lib.views import draw
from nb_lib.widget import live

__all__ = [
    "Host",
    "NbError",
    "Packet",
    "RulesetError",
    "check",
    "draw",
    "hooks",
    "icmp",
    "live",
    "load",
    "parse",
    "save",
    "tcp",
    "udp",
]
