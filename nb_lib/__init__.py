"""nb_lib: Linux packet filtering and Kubernetes service routing, to be looked at.

Seventeen names are enough::

    host = load("data/kube-proxy/nginx-3-endpoints/1.21.1")
    trace = host.receive(tcp("10.20.0.200:40000", "4.3.2.1:80"), "eth1")
    trace                       # the diagram; print(trace) tells the story
    trace.table()               # the steps as a DataFrame
    host.explore(tcp("10.20.0.200:40000", "4.3.2.1:80"), "eth1")   # all ways, exact chances
    draw(host.ruleset["nat"])   # the chains, without a packet
    draw(hooks)                 # where a rule can see a packet
    iptables(host, "-A INPUT -j DROP")   # the command: what it prints, its status, the new ruleset
    live(host, tcp("10.20.0.200:40000", "4.3.2.1:80"), "eth1")     # in Jupyter: edit the packet
    read_trace(lines, host.ruleset)   # the kernel's own trace, pasted: which rule dropped it
    terminal(host)              # in Jupyter: type iptables commands, see what they change

They are loaded when the first of them is used: a command of ``nb_lib.cli`` answers in a fraction of
the time that engine and views need to load.
"""

# ruff: noqa: F403, F405 - the names of __all__ come from nb_lib.face
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nb_lib.face import *

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


def __getattr__(name: str) -> Any:
    """Load the face when one of its names is first asked for (PEP 562)."""
    if name == "hooks":  # a module, which nb_lib's own modules import without the face
        return import_module("nb_lib.hooks")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    face = import_module("nb_lib.face")
    globals().update({known: getattr(face, known) for known in __all__})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext nb_lib``: the magics ``%iptables`` and ``%%iptables``."""
    import_module("nb_lib.magics").register(shell)
