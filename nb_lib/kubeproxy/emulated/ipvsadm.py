"""ipvsadm, as far as our kube-proxy needs it: ``--restore``, ``--clear``, ``-Sn`` and ``-Ln``."""

from __future__ import annotations

from collections.abc import Sequence

from nb_lib.errors import RulesetError
from nb_lib.kubeproxy.commands import Done
from nb_lib.text.ipvs import VirtualServer, apply_ipvs, list_ipvs, save_ipvs

Servers = tuple[VirtualServer, ...]


def run(held: Servers, words: Sequence[str], stdin: str) -> tuple[Done, Servers]:
    """Run ``ipvsadm`` with some words."""
    match list(words):
        case ["-Sn"] | ["--save", "-n"]:
            return Done(0, save_ipvs(held)), held
        case ["-Ln"] | ["--list", "-n"]:
            return Done(0, list_ipvs(held)), held
        case ["-C"] | ["--clear"]:
            return Done(0), ()
        case ["-R"] | ["--restore"]:
            try:
                return Done(0), apply_ipvs(held, stdin)
            except RulesetError as error:
                return Done(2, "", f"{error}\n"), held
    return Done(2, "", f"ipvsadm: {' '.join(words)} is not known here\n"), held
