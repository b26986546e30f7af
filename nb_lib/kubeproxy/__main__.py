"""``python -m nb_lib.kubeproxy``: kube-proxy's iptables mode against YAML files, to be tried out."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from nb_lib.errors import NbError
from nb_lib.kubeproxy.config import Config
from nb_lib.kubeproxy.eras import ERAS, era
from nb_lib.kubeproxy.hosts import Emulated, Real
from nb_lib.kubeproxy.loop import Pace, Proxier, Sync
from nb_lib.kubeproxy.manifests import load
from nb_lib.kubeproxy.objects import KubeObject

HELP = f"""\
kube-proxy's iptables mode: Services and EndpointSlices in, rules out.

  python -m nb_lib.kubeproxy [OPTION...] [FLAG...] FILE...

FILE holds Kubernetes manifests, YAML or JSON; - is what comes in. They are read again whenever
they change. FLAG is one of kube-proxy's own: --cluster-cidr=10.244.0.0/16 --masquerade-all …

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


class Files:
    """Manifests in files, and what has changed in them since they were last read."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.seen: tuple[float, ...] | None = None
        self.held: dict[tuple[str, str], KubeObject] = {}

    def changes(self) -> tuple[list[KubeObject], list[KubeObject]] | None:
        """Return what was added or modified, and what is gone; None if no file was written to."""
        paths = [Path(name) for name in self.names if name != "-"]
        seen = tuple(path.stat().st_mtime if path.exists() else 0.0 for path in paths)
        if seen == self.seen:
            return None
        text = [sys.stdin.read()] if "-" in self.names and self.seen is None else []
        text += [path.read_text(encoding="utf-8") for path in paths if path.exists()]
        found = {_key(one): one for part in text for one in load(part)}
        new = [one for key, one in found.items() if self.held.get(key) != one]
        gone = [one for key, one in self.held.items() if key not in found]
        self.held, self.seen = found, seen
        return new, gone


def _key(one: KubeObject) -> tuple[str, str]:
    return type(one).__name__, str(getattr(one, "key", "") or getattr(one, "name", ""))


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


def serve(loop: Proxier, files: Files, config: Config, *, applied: bool) -> None:
    """Follow the files until somebody ends it: syncs at kube-proxy's pace, canaries at its period."""
    pace, looked = Pace(config.min_sync_period), time.monotonic()
    while True:
        now = time.monotonic()
        try:
            if changes := files.changes():
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
    if "--help" in words or "-h" in words or not names:
        print(HELP, end="")
        return 0 if names or "--help" in words or "-h" in words else 2
    return _run(Config.from_flags(flags), version, backend, names, options)


def _run(config: Config, version: str, backend: str, names: list[str], options: set[str]) -> int:
    applied = "--apply" in options
    place = Real(backend) if applied else Emulated()
    if isinstance(place, Real):
        config = replace(config, addresses=place.addresses())
    files = Files(names)
    found, _ = files.changes() or ([], [])
    loop = Proxier(config, era(version), place, found)
    failed = False
    for sync in loop.start(time.monotonic()):
        print(told(sync, applied=applied), end="", flush=True)
        failed |= bool(sync.error)
    if "--once" not in options:
        serve(loop, files, config, applied=applied)
    return int(failed)


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
