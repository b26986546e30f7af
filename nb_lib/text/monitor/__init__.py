"""What is told of a traced packet by ``xtables-monitor -t``, ``nft monitor trace``, the kernel's log."""

from nb_lib.text.monitor.headers import made
from nb_lib.text.monitor.lines import LOG, NFT, XTABLES, Header, Step, Unread
from nb_lib.text.monitor.place import FAMILIES, Places
from nb_lib.text.monitor.sort import MOST, Way, sort

__all__ = [
    "FAMILIES",
    "LOG",
    "MOST",
    "NFT",
    "XTABLES",
    "Header",
    "Places",
    "Step",
    "Unread",
    "Way",
    "made",
    "sort",
]
