"""What packets meet while the live kernel's rules are replaced."""

from __future__ import annotations

import subprocess

import pytest

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.needs("unshare", "iptables-nft-restore", "iptables-legacy-restore"),
]
TIMES = 40
CLOSED = "-A INPUT -p udp -m udp --dport 9 -j DROP"
OTHERS = "".join(f"-A INPUT -s 10.0.{n // 200}.{n % 200}/32 -j ACCEPT\n" for n in range(300))
RULES = f"*filter\n:INPUT ACCEPT [0:0]\n{OTHERS}{CLOSED}\nCOMMIT\n"
# Sends to a closed port as long as a command runs; prints how many packets it sent, and how many came.
FLOOD = """
import socket, subprocess, sys
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); here.bind(("127.0.0.1", 9)); here.setblocking(False)
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sent = came = 0
work = subprocess.Popen(["sh", "-c", sys.argv[1]])
while work.poll() is None:
    for _ in range(50):
        out.sendto(b"x", ("127.0.0.1", 9)); sent += 1
        try: came += len(here.recv(9))
        except BlockingIOError: pass
print(sent, came)
"""


def flooded(tmp_path, backend: str, loop: str) -> tuple[int, int]:
    """Run a loop of commands in a namespace while packets are sent; return those sent, and those let in."""
    (tmp_path / "rules").write_text(RULES)
    (tmp_path / "flood.py").write_text(FLOOD)
    script = f"""ip link set lo up; export XTABLES_LOCKFILE=lock
    iptables-{backend}-restore <rules; python3 flood.py 'for i in $(seq {TIMES}); do {loop}; done'"""
    done = subprocess.run(["unshare", "-n", "sh", "-ec", script], cwd=tmp_path, capture_output=True,
                          text=True, check=True, timeout=120)  # fmt: skip
    sent, came = map(int, done.stdout.split())
    return sent, came


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_no_packet_meets_half_a_restore(backend: str, tmp_path, figure) -> None:
    sent, came = flooded(tmp_path, backend, f"iptables-{backend}-restore <rules")
    figure(
        f"packets during restores, {backend}",
        sent - came,
        sent,
        f"met the rules, in {TIMES} restores",
    )
    assert came == 0
    assert sent > 1000


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_packets_do_slip_through_a_loop_of_commands(backend: str, tmp_path) -> None:
    """The counter-example, without which the test above might have watched nothing."""
    _, came = flooded(
        tmp_path, backend, f"iptables-{backend} -F INPUT; iptables-{backend} {CLOSED}"
    )
    assert came > 10
