"""``python -m nb_lib.kubeproxy``: kube-proxy's iptables mode against YAML files, to be tried out."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from nb_lib.errors import NbError
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import ERAS, era
from nb_lib.kubeproxy.hosts import Emulated, Real
from nb_lib.kubeproxy.loop import Pace, Proxier, Sync
from nb_lib.kubeproxy.objects import KubeObject
from nb_lib.kubeproxy.sources import Files, Source, Watched, key_of

HELP = f"""\
kube-proxy's iptables mode: Services and EndpointSlices in, rules out.

  python -m nb_lib.kubeproxy [OPTION...] [FLAG...] FILE...
  python -m nb_lib.kubeproxy [OPTION...] [FLAG...] --master=http://127.0.0.1:8001

FILE holds Kubernetes manifests, YAML or JSON; - is what comes in. They are read again whenever
they change. With --master an API server is watched instead, as kubectl proxy offers it.
FLAG is one of kube-proxy's own: --cluster-cidr=10.244.0.0/16 --masquerade-all …

  --version=V      what to write as: {", ".join(ERAS)} (the last, if it is not said)
  --apply          write the rules of this network namespace, as root; without it, each input of
                   iptables-restore is printed, and nothing is touched
  --backend=B      with --apply: nft or legacy, if not what the machine calls iptables
  --once           write everything once, and end
  --help           this

To try it where it disturbs nobody:

  sudo unshare --net sh -c 'python -m nb_lib.kubeproxy --apply --once web.yaml; iptables-save'
"""
_PROGRAMS = {4: "iptables-restore", 6: "ip6tables-restore"}
_LOOK = 0.2  # seconds between two looks at the files


def told(sync: Sync, *, applied: bool) -> str:
    """Return what is printed of a sync: its input, or, where it was applied, a line about it."""
    what = "everything" if sync.whole else "what has changed"
    rules = sync.input.count("\n-A ")
    if sync.error:
        return f"{_PROGRAMS[sync.family]} refuses the rules: {sync.error}"
    if applied:
        forgotten = f", {len(sync.conntrack)} conntrack commands" if sync.conntrack else ""
        return f"IPv{sync.family}: wrote {what}: {rules} rules{forgotten}\n"
    lines = [f"# {_PROGRAMS[sync.family]} --noflush: {what}", sync.input]
    lines += [f"# {' '.join(words)}" for words in sync.conntrack]
    return "\n".join(lines).rstrip("\n") + "\n"


def serve(loop: Proxier, source: Source, config: Config, *, applied: bool) -> None:
    """Follow the source until somebody ends it: syncs at kube-proxy's pace, canaries at its period."""
    pace, looked = Pace(config.min_sync_period), time.monotonic()
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
        elif now - looked >= config.sync_period:
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
    master = next((word[9:] for word in words if word.startswith("--master=")), "")
    if "--help" in words or "-h" in words or not (names or master):
        print(HELP, end="")
        return 0 if names or "--help" in words or "-h" in words else 2
    config = Config.from_flags(flags)
    source: Source = Watched(master, config.hostname) if master else Files(names)
    try:
        return _run(config, version, backend, source, options)
    finally:
        source.close()


def _run(config: Config, version: str, backend: str, source: Source, options: set[str]) -> int:
    applied = "--apply" in options
    place = Real(backend) if applied else Emulated()
    if isinstance(place, Real):
        config = replace(config, addresses=place.addresses())
    loop = Proxier(config, era(version), place, _first(source))
    failed = False
    for sync in loop.start(time.monotonic()):
        print(told(sync, applied=applied), end="", flush=True)
        failed |= bool(sync.error)
    if "--once" not in options:
        serve(loop, source, config, applied=applied)
    return int(failed)


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
