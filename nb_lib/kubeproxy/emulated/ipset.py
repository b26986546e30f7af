"""ipset, as far as kube-proxy needs it: ``restore`` (with ``-exist``), ``destroy`` and ``save``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nb_lib.errors import RulesetError
from nb_lib.kubeproxy.commands import Done
from nb_lib.text.ipset import IpSet, parse_ipsets, save_ipsets

Sets = Mapping[str, IpSet]


def run(held: Sets, words: Sequence[str], stdin: str) -> tuple[Done, Sets]:
    """Run ``ipset`` with some words."""
    match [word for word in words if word != "-exist"]:
        case ["save"]:
            return Done(0, save_ipsets(held.values())), held
        case ["restore"]:
            text = stdin
        case ["destroy", name]:
            text = f"destroy {name}"
        case _:
            return Done(1, "", f"ipset v7.17: {' '.join(words)} is not known here\n"), held
    try:
        return Done(0), restored(held, text, exist="-exist" in words)
    except RulesetError as error:
        return Done(1, "", f"ipset v7.17: Error in line {error.lineno}: {error.reason}\n"), held


def restored(held: Sets, text: str, *, exist: bool = False) -> dict[str, IpSet]:
    """Return the sets after a restore; ``exist``: what is there, or gone already, is no mistake.

    Raises RulesetError at a line that ipset would refuse.
    """
    made = dict(held)
    for lineno, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            _line(made, words, line, exist=exist)
        except RulesetError as error:
            raise RulesetError(error.reason, lineno=lineno, line=line) from None
    return made


def _line(made: dict[str, IpSet], words: list[str], line: str, *, exist: bool) -> None:
    verb, name, *_ = [*words, ""]
    if verb == "create":
        if name in made and not exist:
            raise RulesetError("Set cannot be created: set with the same name already exists")
        made.setdefault(name, parse_ipsets(line)[name])
        return
    if name not in made:
        raise RulesetError("The set with the given name does not exist")
    empty = replace(made[name], members={}, excluded=frozenset())
    if verb == "destroy":
        del made[name]
    elif verb == "flush":
        made[name] = empty
    else:
        added = parse_ipsets(save_ipsets([empty]) + line.replace("del", "add", 1))[name].members
        _member(made, made[name], verb, added, exist=exist)


def _member(
    made: dict[str, IpSet], one: IpSet, verb: str, given: Mapping[tuple[str, ...], float | None],
    *, exist: bool,
) -> None:  # fmt: skip
    there = given.keys() & one.members.keys()
    if verb not in ("add", "del"):
        raise RulesetError(f"{verb} is not known here")
    if not exist and bool(there) is (verb == "add"):
        what = "added: it's already added" if verb == "add" else "deleted: it's not added"
        raise RulesetError(f"Element cannot be {what}")
    left = {member: life for member, life in one.members.items() if member not in given}
    made[one.name] = replace(one, members=left | (dict(given) if verb == "add" else {}))
