"""Missions that count: what is logged, and how often somebody may knock."""

from __future__ import annotations

from nb_lib.missions.machines import BASE, OUT, WAN, nothing_else, own_connections, ssh_works
from nb_lib.missions.mission import Mission, Want
from nb_lib.missions.stage import ANYTHING, Stage, delivered, leaves, logged, stopped
from nb_lib.packet import tcp, udp


def _is_logged(stage: Stage) -> None:
    source = stage.outsider()
    _knock(stage, source, 1)
    stage.demand(_logs(stage) == 1, "The first packet that was dropped left no line in the log.")
    stage.wait(600)
    stage.into(
        "UDP, ten minutes later",
        udp(f"{stage.outsider()}:{stage.port()}", f"{WAN}:161"),
        OUT,
        stopped(),
    )
    stage.demand(
        _logs(stage) == 2, "A packet that was dropped ten minutes later left no line in the log."
    )


def _not_too_often(stage: Stage) -> None:
    _knock(stage, stage.outsider(), 30, pause=1)
    many = _logs(stage)
    stage.demand(many <= 10, f"30 packets in half a minute left {many} lines in the log; "
                 "at most 5 a minute are wanted, 10 at the very beginning.")  # fmt: skip
    stage.wait(300)
    for _ in range(20):
        _knock(stage, stage.outsider(), 10, pause=6)
    minutes = 20
    more = _logs(stage) - many
    stage.demand(
        more <= 5 * minutes + 10, f"200 packets in {minutes} minutes left {more} lines in the log."
    )


def _good_is_not_logged(stage: Stage) -> None:
    ssh_works(stage)
    own_connections(stage)
    stage.demand(not _logs(stage), "A packet that was let through is in the log.")


def _knock(stage: Stage, source: str, times: int, pause: float = 0) -> None:
    for _ in range(times):
        packet = tcp(f"{source}:{stage.port()}", f"{WAN}:{stage.other_port(22)}")
        stage.into(f"A new connection to port {packet.dport}", packet, OUT, stopped())
        stage.wait(pause)


def _logs(stage: Stage) -> int:
    return sum(logged(one.trace) for one in stage.sent)


LOG = Mission(
    name="log", title="Log what you drop, at most five a minute", level=2,
    situation="Packets that no rule wants fall to the policy, DROP, and nobody hears of them. A rule that logged "
    "each of them would fill the disk as soon as somebody scans the host.",
    goal="Write what is dropped to the log, five lines a minute at most (a first burst of five is fine). "
    "What is let through is not logged, and what is dropped today is dropped tomorrow.",
    dump=BASE,
    wants=(
        Want("What is dropped is logged.", _is_logged),
        Want("But no more than five lines a minute.", _not_too_often),
        Want("What is let through is not logged.", _good_is_not_logged),
        Want("What was closed stays closed.", lambda s: nothing_else(s, 80)),
        Want("ssh works as before.", ssh_works),
    ),
    hints=(
        "LOG does not end a packet’s way: behind it the policy drops, as before.",
        "At the end of INPUT nothing is left but what will be dropped.",
        "-m limit --limit 5/min matches five times a minute; its burst is 5 unless you say otherwise.",
    ),
    solution='iptables -A INPUT -m limit --limit 5/min -j LOG --log-prefix "dropped: "',
    lesson="limit is a bucket of five tokens; every twelve seconds one is put back. LOG is not terminating.",
)  # fmt: skip


def _first_three(stage: Stage) -> None:
    source = stage.outsider()
    for number in ("first", "second", "third"):
        packet = tcp(f"{source}:{stage.port()}", f"{WAN}:22")
        came = stage.into(f"The {number} connection from {source}", packet, OUT, delivered())
        stage.back(came, leaves(OUT), "The host's answer")
        stage.wait(stage.pick.randint(1, 3))


def _then_no_more(stage: Stage) -> None:
    source = stage.outsider()
    took = 0
    for number in range(12):
        packet = tcp(f"{source}:{stage.port()}", f"{WAN}:22")
        says = f"Connection {number + 1} from {source}, one a second"
        took += stage.into(says, packet, OUT, ANYTHING).fate.kind == "local"
        stage.wait(1)
    stage.demand(
        took <= 4, f"{took} of 12 connections within 12 seconds were let in from one address."
    )


def _others_may(stage: Stage) -> None:
    bad, good = "203.0.113.66", f"198.51.100.{stage.pick.randint(1, 254)}"
    for _ in range(20):
        stage.into(f"{bad} knocks", tcp(f"{bad}:{stage.port()}", f"{WAN}:22"), OUT, ANYTHING)
    says = f"A connection from {good}, while {bad} knocks"
    stage.into(says, tcp(f"{good}:{stage.port()}", f"{WAN}:22"), OUT, delivered())
    stage.wait(600)
    says = f"A connection from {bad}, ten minutes after it stopped"
    stage.into(says, tcp(f"{bad}:{stage.port()}", f"{WAN}:22"), OUT, delivered())


def _sessions_go_on(stage: Stage) -> None:
    source = stage.outsider()
    came = stage.into(
        "A connection", tcp(f"{source}:{stage.port()}", f"{WAN}:22"), OUT, delivered()
    )
    for number in range(15):
        answer = stage.back(came, leaves(OUT), "The host's answer")
        came = stage.back(answer, delivered(), f"Packet {number + 2} of the session")


BRUTE = Mission(
    name="brute-force", title="Three ssh connections a minute from one address", level=3,
    situation="Port 22 is open to the internet, and its log is full of guessed passwords. Whoever guesses opens "
    "a new connection for each try, dozens a minute.",
    goal="From one address let in three new ssh connections a minute, no more. Others must not notice, "
    "sessions that stand must not break, and who has waited may come again.",
    dump=BASE,
    wants=(
        Want("Three connections a minute are let in.", _first_three),
        Want("The fourth and those behind it are not.", _then_no_more),
        Want("Other addresses are not concerned, and nobody is shut out for ever.", _others_may),
        Want("A session is not counted packet by packet.", _sessions_go_on),
        Want("Nothing else opens.", lambda s: nothing_else(s, 80)),
    ),
    hints=(
        "Only new connections count; packets of a session that stands are accepted by the second rule already.",
        "-m hashlimit --hashlimit-mode srcip counts for each source by itself. Or -m recent keeps a list of addresses.",
        "The rule has to stand before the one that accepts port 22, or to take its place.",
    ),
    solution="""\
iptables -R INPUT 3 -p tcp --dport 22 -m hashlimit --hashlimit-upto 3/min --hashlimit-burst 3 \
--hashlimit-mode srcip --hashlimit-name ssh -j ACCEPT""",
    lesson="limit has one bucket for all, so that one guesser shuts everybody out; hashlimit has one for each source.",
)  # fmt: skip


MISSIONS = (LOG, BRUTE)
