"""``python -m tests.extensions``: how often nb_lib and the real iptables agree, extension by extension.

Compares with the recording; ``--live`` asks the iptables of this machine about every rule (root; some
five minutes).
"""

from __future__ import annotations

import sys

from tests.extensions.figures import live, table
from tests.extensions.recorded import recorded

if __name__ == "__main__":
    sys.stdout.write(table(live() if "--live" in sys.argv[1:] else recorded()) + "\n")
