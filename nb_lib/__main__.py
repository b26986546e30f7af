"""``python -m nb_lib``: the library for people with a shell."""

import sys

from nb_lib.program import main

if __name__ == "__main__":
    sys.exit(main())
