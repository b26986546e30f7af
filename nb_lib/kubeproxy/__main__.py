"""``python -m nb_lib.kubeproxy``: kube-proxy against YAML files or an API server, to be tried out."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from datetime import datetime

from nb_lib.errors import NbError, ObjectError
from nb_lib.kubeproxy.choice import IPTABLES, NFTABLES_GATE, Abilities, Choice, Said, choose
from nb_lib.kubeproxy.client import Client
from nb_lib.kubeproxy.commands import Command
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import ERAS, era
from nb_lib.kubeproxy.hosts import Emulated, Real
from nb_lib.kubeproxy.leftovers import cleaned, switched
from nb_lib.kubeproxy.loop import ROOMS, Pace, Proxier, Sync
from nb_lib.kubeproxy.objects import KubeObject, Node
from nb_lib.kubeproxy.sources import Files, Source, Watched, key_of
from nb_lib.kubeproxy.watch import Http, Server

HELP = f"""\
kube-proxy: Services and EndpointSlices in, rules out.

  python -m nb_lib.kubeproxy [OPTION...] [FLAG...] FILE...
  python -m nb_lib.kubeproxy [OPTION...] [FLAG...] --master=http://127.0.0.1:8001
  python -m nb_lib.kubeproxy [OPTION...] [FLAG...] --kubeconfig=FILE

FILE holds Kubernetes manifests, YAML or JSON; - is what comes in. They are read again whenever
they change. With --master an API server is watched instead, as kubectl proxy offers it; with
--kubeconfig that of a kubeconfig file, or, without a FILE, that of the pod this runs in (both
need Kubernetes' client library: pip install 'nb-lib[api]').
FLAG is one of kube-proxy's own: --cluster-cidr=10.244.0.0/16 --masquerade-all …

  --version=V      what to write as: {", ".join(ERAS)} (the last, if it is not said)
  --proxy-mode=M   {", ".join(ROOMS)}: {IPTABLES}, if it is not said. Whether a
                   version takes the mode, and what it does where the machine cannot run it, is
                   decided as that version decides it, and told on stderr as in its log: 1.21 falls
                   back, 1.30 ends. nftables needs 1.30 and --feature-gates={NFTABLES_GATE}=true
  --apply          write the rules of this network namespace, as root; without it, each command
                   is printed with what it reads, and nothing is touched
  --backend=B      with --apply: nft or legacy, if not what the machine calls iptables
  --once           write everything once, and end
  --cleanup        with --apply: remove what any mode of the version has written, and end
  --help           this

To try it where it disturbs nobody, with web.yaml of a Service at 10.96.0.10:80 and of a slice with the
endpoint 10.244.1.5:8080:

  sudo unshare --net sh -c '
    ip link set lo up; ip addr add 10.244.1.5 dev lo
    python -m http.server --bind 10.244.1.5 8080 & sleep 1; ip route add default dev lo
    python -m nb_lib.kubeproxy --apply --once --proxy-mode=nftables \\
      --feature-gates={NFTABLES_GATE}=true web.yaml
    nft list table ip kube-proxy; curl 10.96.0.10'
"""
_LOOK = 0.2  # seconds between two looks at the files
_RULE = ("-A ", "add rule ")


def told(sync: Sync, *, applied: bool) -> str:
    """Return what is printed of a sync: its commands, or, where they were run, a line about it."""
    what = "everything" if sync.whole else "what has changed"
    if sync.error:
        return f"{sync.commands[-1].words[0]} refuses the rules: {sync.error}"
    if applied:
        forgotten = f", {len(sync.conntrack)} conntrack commands" if sync.conntrack else ""
        return f"IPv{sync.family}: wrote {what}: {_rules(sync)} rules{forgotten}\n"
    return "".join(_shown(command) for command in sync.commands)


def _shown(command: Command) -> str:
    line = f"# {' '.join(command.words)}\n"
    return line + command.stdin.rstrip("\n") + "\n" if command.stdin else line


def _rules(sync: Sync) -> int:
    """Count the rules that a sync wrote."""
    lines = (line for command in sync.commands for line in command.stdin.splitlines())
    put = sum(command.words[1:2] in (("-A",), ("-I",)) for command in sync.commands)
    return put + sum(line.startswith(_RULE) for line in lines)


def logged(said: Said, now: datetime) -> str:
    """Return a line of the log, as klog writes it; where kube-proxy names its file, this names ours."""
    return f"{said.level}{now:%m%d %H:%M:%S.%f} {os.getpid():7} choice.py] {said.text}"


def serve(loop: Proxier, source: Source, *, applied: bool) -> None:
    """Follow the source until somebody ends it: syncs at kube-proxy's pace, a look at its period."""
    shortest, period = loop.config.periods(loop.mode)
    pace, looked = Pace(shortest), time.monotonic()
    while True:
        now = time.monotonic()
        try:
            if changes := source.changes():
                loop.apply(*changes)
        except (NbError, OSError) as error:
            print(error, file=sys.stderr, flush=True)  # the file may be half written
        done = []
        if loop.due and not pace.wait(now, asked=True):
            done = loop.sync(now)
            pace.done(now)
        elif now - looked >= period:
            done, looked = loop.watch(now), now
        for sync in done:
            print(told(sync, applied=applied), end="", flush=True)
        time.sleep(_LOOK)


def command(words: list[str]) -> int:
    """Run the program; return its exit status."""
    options = {word for word in words if word in ("--apply", "--once")}
    version, backend = list(ERAS)[-1], ""
    flags, names = [], []
    for word in words:
        name, _, value = word.partition("=")
        if name == "--version":
            version = value
        elif name == "--backend":
            backend = value
        elif word.startswith("-") and word != "-":
            flags += [word] if word not in options else []
        else:
            names.append(word)
    watched = any(word.startswith(("--master=", "--kubeconfig=")) for word in flags)
    if "--help" in words or "-h" in words or not (names or watched or "--cleanup" in words):
        print(HELP, end="")
        return 0 if names or "--help" in words or "-h" in words else 2
    config = Config.from_flags(flags)
    if config.cleanup:
        return _cleanup(config, version, backend, options)
    source: Source = Watched(_server(flags), config.hostname) if watched else Files(names)
    try:
        return _run(config, version, backend, source, options)
    finally:
        source.close()


def _server(flags: list[str]) -> Server:
    """Return the API server that a flag names."""
    given = dict(word.partition("=")[::2] for word in flags)
    return Http(given["--master"]) if "--master" in given else Client(given["--kubeconfig"])


def _run(config: Config, version: str, backend: str, source: Source, options: set[str]) -> int:
    applied = "--apply" in options
    place = Real(backend) if applied else Emulated()
    if isinstance(place, Real):
        config = replace(config, addresses=place.addresses())
    objects = _first(source)
    choice = chosen(config, version, objects, place.abilities(config.ipvs_scheduler))
    for said in choice.log:
        print(logged(said, datetime.now().astimezone()), file=sys.stderr)
    if choice.status is not None:
        return choice.status
    loop = Proxier(config, era(version), place, objects, mode=choice.mode, families=choice.families)
    switched(place, config, loop.era, loop.mode, loop.tracked)
    try:
        failed = False
        for sync in loop.start(time.monotonic()):
            print(told(sync, applied=applied), end="", flush=True)
            failed |= bool(sync.error)
        if "--once" not in options:
            serve(loop, source, applied=applied)
        return int(failed)
    finally:
        loop.close()


def _cleanup(config: Config, version: str, backend: str, options: set[str]) -> int:
    if "--apply" not in options:
        raise ObjectError("wants --apply", what="kube-proxy", path="--cleanup")
    cleaned(Real(backend), config, era(version))
    return 0


def chosen(config: Config, version: str, objects: list[KubeObject], abilities: Abilities) -> Choice:
    """Choose the mode as the version does, on this node and with these flags."""
    named = [one for one in objects if isinstance(one, Node) and one.name == config.hostname]
    addresses = [one for node in named for one in node.addresses]
    return choose(
        version,
        config.mode,
        abilities=abilities,
        node_ips=addresses or ("127.0.0.1",),
        cluster_families={network.version for network in config.cluster_cidrs},
        detect_local=config.detect_local,
        scheduler=config.ipvs_scheduler,
        gates=config.gates,
    )


def _first(source: Source) -> list[KubeObject]:
    """Return all that there is, when it is known: before, kube-proxy writes nothing."""
    held: dict[tuple[str, str], KubeObject] = {}
    while True:
        new, gone = source.changes() or ([], [])
        held |= {key_of(one): one for one in new}
        for one in gone:
            held.pop(key_of(one), None)
        if source.ready:
            return list(held.values())
        time.sleep(_LOOK)


def main(words: list[str]) -> int:
    """Run the program; a mistake is told in its own words."""
    try:
        return command(words)
    except (NbError, OSError) as error:
        print(f"kubeproxy: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
