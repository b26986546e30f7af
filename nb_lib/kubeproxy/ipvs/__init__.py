"""IPVS mode: virtual servers in the kernel, sets of addresses and ports, and rules that never grow."""

from nb_lib.kubeproxy.ipvs.graceful import settled
from nb_lib.kubeproxy.ipvs.mode import Desired, computed, desired, prepared, sysctls

__all__ = ["Desired", "computed", "desired", "prepared", "settled", "sysctls"]
