"""kube-proxy: Services and endpoints in, the rules of each of its modes out.

The names that a chapter uses are loaded when the first of them is asked for; each stands in the module that
``_HOME`` names::

    node("data/kube-proxy/eight-services", "nftables")   # a host as kube-proxy leaves it
    machines                                             # the modes and versions that there are
    compare("data/kube-proxy/eight-services")            # the same packets through all of them
    choose("1.21", "ipvs").log                           # which mode a start takes, and what it says
    proxier("data/kube-proxy/nginx-1-endpoint").start()  # the loop, on a host that it changes
    written_by(host.ruleset)                             # who wrote a dump
    differences(one, other)                              # what two nodes do not do alike
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nb_lib.kubeproxy.choice import Abilities, choose
    from nb_lib.kubeproxy.compared import Machine, Question
    from nb_lib.kubeproxy.comparison import compare, questions_about
    from nb_lib.kubeproxy.config import Config
    from nb_lib.kubeproxy.differences import differences
    from nb_lib.kubeproxy.eras import ERAS, era
    from nb_lib.kubeproxy.history import history
    from nb_lib.kubeproxy.iptables import explain
    from nb_lib.kubeproxy.loop import Proxier
    from nb_lib.kubeproxy.names import PortName, Target, endpoint_hash, service_hash
    from nb_lib.kubeproxy.nodes import machines, node, objects_of
    from nb_lib.kubeproxy.onhost import OnHost, forget, proxier
    from nb_lib.kubeproxy.tracked import Tracked
    from nb_lib.kubeproxy.userspace import UserspaceProxy
    from nb_lib.kubeproxy.writer import written_by

__all__ = [
    "ERAS",
    "Abilities",
    "Config",
    "Machine",
    "OnHost",
    "PortName",
    "Proxier",
    "Question",
    "Target",
    "Tracked",
    "UserspaceProxy",
    "choose",
    "compare",
    "differences",
    "endpoint_hash",
    "era",
    "explain",
    "forget",
    "history",
    "machines",
    "node",
    "objects_of",
    "proxier",
    "questions_about",
    "service_hash",
    "written_by",
]

_HOME = {
    "choice": ("Abilities", "choose"),
    "compared": ("Machine", "Question"),
    "comparison": ("compare", "questions_about"),
    "config": ("Config",),
    "differences": ("differences",),
    "eras": ("ERAS", "era"),
    "history": ("history",),
    "iptables": ("explain",),
    "loop": ("Proxier",),
    "names": ("PortName", "Target", "endpoint_hash", "service_hash"),
    "nodes": ("machines", "node", "objects_of"),
    "onhost": ("OnHost", "forget", "proxier"),
    "tracked": ("Tracked",),
    "userspace": ("UserspaceProxy",),
    "writer": ("written_by",),
}


def __getattr__(name: str) -> Any:
    """Load the module of a name when it is first asked for (PEP 562)."""
    home = next((module for module, names in _HOME.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
