"""Dumps that nobody should paste, and somebody will."""

from __future__ import annotations

import base64
import hashlib

SCRIPT = "<script>window.injected=1</script><img src=x onerror=window.injected=2>"


def big(rules: int) -> str:
    """Return a dump of kube-proxy's shape: Services with three endpoints each, until there are so many rules."""
    names, lines = ["KUBE-SERVICES", "KUBE-MARK-MASQ", "KUBE-POSTROUTING"], []
    services, count = [], 5
    while count < rules:
        number = len(services)
        service = f"KUBE-SVC-{_hash(f'ns/svc-{number}:httptcp')}"
        ends = [
            f"10.{244 + number // 16384}.{number // 64 % 256}.{number % 64 * 4 + n}"
            for n in range(3)
        ]
        chains = [f"KUBE-SEP-{_hash(f'ns/svc-{number}:httptcp{end}:80')}" for end in ends]
        names += [service, *chains]
        cluster = f"10.{96 + number // 65536}.{number // 256 % 256}.{number % 256}"
        services.append(
            f'-A KUBE-SERVICES -d {cluster}/32 -p tcp -m comment --comment "ns/svc-{number}:http cluster IP" '
            f"-m tcp --dport 80 -j {service}"
        )
        for left, chain, end in zip((3, 2, 1), chains, ends, strict=True):
            chance = (
                "" if left == 1 else f"-m statistic --mode random --probability {1 / left:.11f} "
            )
            lines.append(
                f'-A {service} -m comment --comment "ns/svc-{number}:http" {chance}-j {chain}'
            )
            lines.append(f"-A {chain} -s {end}/32 -j KUBE-MARK-MASQ")
            lines.append(f"-A {chain} -p tcp -m tcp -j DNAT --to-destination {end}:80")
        count += 10
    head = [f":{name} ACCEPT [0:0]" for name in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")]
    fixed = ["-A PREROUTING -j KUBE-SERVICES", "-A OUTPUT -j KUBE-SERVICES", "-A POSTROUTING -j KUBE-POSTROUTING",
             "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
             "-A KUBE-POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE"]  # fmt: skip
    chains = [f":{name} - [0:0]" for name in names]
    return "\n".join(["*nat", *head, *chains, *fixed, *services, *lines, "COMMIT", ""])


def _hash(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:16]


def scripted() -> str:
    """Return a dump with HTML wherever a dump can have text of its own."""
    return "\n".join([
        "*filter", ":INPUT DROP [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", ":<b>X</b> - [0:0]",
        f'-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "{SCRIPT}" -j <b>X</b>',
        f'-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "{SCRIPT}" -j <b>X</b>',
        '-A <b>X</b> -j LOG --log-prefix "<svg onload=alert(1)>"',
        f'-A <b>X</b> -m comment --comment "</script>{SCRIPT}" -j ACCEPT',
        f'-A INPUT -m set --match-set <i>set</i> src -m comment --comment "{SCRIPT}" -j ACCEPT',
        "COMMIT", ""])  # fmt: skip


HOSTILE = {
    "garbage": "q8w7e6r5 \x1b[31m " * 200,
    "one line of 5 MB": "-A INPUT " + "x" * 5_000_000,
    "one rule of 5 MB": "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m comment --comment " + "x" * 5_000_000 + "\nCOMMIT\n",
    "addresses of 5 MB": "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s " + "10.0.0.1," * 555_555 + "10.0.0.2 -j DROP\nCOMMIT\n",
    "binary": "\x7fELF\x02\x01\x01" + "\0\x01\ufffd" * 1000,
    "brackets": "[" * 200_000,
    "script in a line that is wrong": f"*filter\n:INPUT ACCEPT [0:0]\n-A INPUT --dprt {SCRIPT} -j DROP\nCOMMIT\n",
    "cut off": "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -p tcp --dpo",
    "a circle": "*filter\n:INPUT ACCEPT [0:0]\n:A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A A -j B\n-A B -j A\nCOMMIT\n",
}  # fmt: skip
