"""Two programs of one name: how iptables-nft and iptables-legacy word their errors, and how they exit.

Sources: libxtables/xtables.c basic_exit_err(), iptables/xshared.c exit_tryhelp(), iptables/nft.c
nft_action(), libiptc/libiptc.c iptc_strerror().
"""

from __future__ import annotations

from typing import NamedTuple

from nb_lib.kinds import IPV6, octets

VERSION = "1.8.9"
MAX_TABLE = 32  # XT_TABLE_MAXNAMELEN
LABELS = {"nft": "nf_tables", "legacy": "legacy"}


class Exit(Exception):  # noqa: N818 - a command's end, not an error of ours
    """A command ends at once: what it has printed, its exit status, and our hint."""

    def __init__(self, stdout: str, stderr: str, status: int, hint: str = "") -> None:
        super().__init__(stderr)
        self.stdout, self.stderr, self.status, self.hint = stdout, stderr, status, hint
        self.written: dict[str, str] = {}  # files that were opened all the same


class Personality(NamedTuple):
    """Who speaks: the family, the backend, and of a restore the program's name and the line."""

    family: int
    backend: str
    suffix: str = ""  # -restore, -save
    line: int = 0
    called: str = ""  # the name by which it was called

    @property
    def base(self) -> str:
        """``iptables`` or ``ip6tables``."""
        return "ip6tables" if self.family == IPV6 else "iptables"

    @property
    def program(self) -> str:
        """The name by which the program calls itself."""
        return self.base + self.suffix

    @property
    def version(self) -> str:
        """``iptables v1.8.9 (nf_tables)``."""
        return f"{self.program} v{VERSION} ({LABELS[self.backend]})"

    @property
    def nft(self) -> bool:
        """Whether the rules are nftables' underneath."""
        return self.backend == "nft"

    def try_help(self) -> str:
        """The last line of a command that was written wrongly."""
        where = f"Error occurred at line: {self.line}\n" if self.line else ""
        return f"{where}Try `{self.program} -h' or '{self.program} --help' for more information.\n"

    def usage(self, said: str, *, before: str = "", hint: str = "") -> Exit:
        """PARAMETER_PROBLEM: the command is written wrongly."""
        return Exit("", f"{before}{self.version}: {said}\n{self.try_help()}", 2, hint)

    def trouble(self, said: str, status: int = 1) -> Exit:
        """OTHER_PROBLEM, or another exit status."""
        return Exit("", f"{self.version}: {said}\n", status)

    def outdated(self, said: str) -> Exit:
        """VERSION_PROBLEM: what is asked for is not there in this kernel."""
        upgrade = f"Perhaps {self.base} or your kernel needs to be upgraded.\n"
        return Exit("", f"{self.version}: {said}\n{upgrade}", 3)

    def failed(self, said: str, hint: str = "") -> Exit:
        """What the program says of a failed command in the words of the error's number."""
        more = " Run `dmesg' for more information." if said in _OF_EINVAL else ""
        return Exit("", f"{self.base}: {said}.{more}\n", 1, hint)

    def no_table(self, name: str) -> str:
        """What the kernel says of a table that there is not; its name may be no name at all."""
        if len(octets(name)) >= MAX_TABLE:
            return "Module is wrong version"
        return "Table does not exist (do you need to insmod?)"

    def refused(self, operation: str, reason: str, what: str) -> Exit:
        """What it says if the kernel refuses: ``RULE_APPEND``, ``Invalid argument``, ``rule in chain c``."""
        if self.nft:
            return Exit("", f"{self.version}:  {operation} failed ({reason}): {what}\n", 4)
        return self.failed(NO_NAME if reason == NO_FILE else reason)


HIDDEN = "# Table `{table}' contains incompatible base-chains, use 'nft' tool to list them.\n"
NO_NAME = "No chain/target/match by that name"
BAD_RULE = "Bad rule (does a matching rule exist in that chain?)"
INVALID, BUSY, NO_FILE = "Invalid argument", "Device or resource busy", "No such file or directory"
BAD_POLICY = "Bad policy name"
_OF_EINVAL = (INVALID, BAD_POLICY)
