"""iptables mode: chains that draw an endpoint by chance, written by iptables-restore."""

from nb_lib.kubeproxy.iptables.explain import Explained, explain
from nb_lib.kubeproxy.iptables.rules import Rules, desired, loaded, prepared

__all__ = ["Explained", "Rules", "desired", "explain", "loaded", "prepared"]
