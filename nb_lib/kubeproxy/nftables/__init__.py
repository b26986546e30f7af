"""nftables mode: one table for each family, with maps from address, protocol and port to chains."""

from nb_lib.kubeproxy.nftables.rules import Rules, desired

__all__ = ["Rules", "desired"]
