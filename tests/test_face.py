"""The face: what a chapter may import, and no more."""

from __future__ import annotations

import subprocess
import sys

import nb_lib


def test_the_face_is_small_enough_to_learn_in_a_minute() -> None:
    assert nb_lib.__all__ == [
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
    assert all(hasattr(nb_lib, name) for name in nb_lib.__all__)


def test_the_face_needs_nothing_but_python() -> None:
    heavy = "pandas scapy matplotlib ipywidgets anywidget IPython yaml numpy"
    code = f"import nb_lib, sys; print([m for m in '{heavy}'.split() if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_face_is_the_list_of_its_module() -> None:
    from nb_lib import face

    assert face.__all__ == nb_lib.__all__


def test_a_module_of_the_core_does_not_load_the_face() -> None:
    code = "import nb_lib.cli, nb_lib, sys; nb_lib.hooks; print('nb_lib.engine' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "False\n"
    assert not hasattr(nb_lib, "no_such_name")
