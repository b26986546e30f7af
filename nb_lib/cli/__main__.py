"""``python -m nb_lib.cli``: the programs of iptables without a firewall behind them."""

from __future__ import annotations

import sys
from pathlib import Path

from nb_lib.cli.programs import NAMES, main, make_shims

HELP = """\
iptables and its kin, to be tried out: they work on a host in a file, never on this machine's own
firewall, and need no privileges.

  python -m nb_lib.cli shim DIR          make a folder of programs: iptables, iptables-save,
                                         iptables-restore, the ip6 forms, all of them also as
                                         -nft (which the plain names are) and -legacy
  python -m nb_lib.cli PROGRAM WORD...   run one of them

NB_LIB_STATE names the file that is the host; where there is none yet, the host is empty.
A script that was written for the real programs:

  python -m nb_lib.cli shim /tmp/shim
  export NB_LIB_STATE=/tmp/host.json PATH=/tmp/shim:$PATH
  sh firewall.sh
  iptables -L -n -v
"""


def command(words: list[str]) -> int:
    """Run one command line; return the exit status, 2 for words that make none."""
    match words:
        case [] | ["-h" | "--help" | "help"]:
            print(HELP, end="")
            return 0
        case ["shim", folder]:
            make_shims(Path(folder))
            return 0
        case [name, *_] if name in NAMES:
            return main(words)
    print(
        f"python -m nb_lib.cli: {' '.join(words)}: no such command; --help tells more",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
