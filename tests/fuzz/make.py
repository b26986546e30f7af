"""The inputs: number N of a seed is the same on every machine."""

from __future__ import annotations

from random import Random

from tests.fuzz import facts, packets, rules, told
from tests.fuzz.case import Case

SOUND = 24  # dumps without a bad rule that packets go through


def make(seed: int, number: int) -> Case:
    """Return one input of endlessly many."""
    pick = Random(f"{seed}:{number}")
    chance = pick.random()
    backend = pick.choice(("nft", "legacy"))
    if chance < 0.45:
        family, text = rules.dump(pick)
        return Case(family, backend, text, packets.lines(pick, family, 2) if family in packets.ENDS else "",
                    views=pick.random() < 0.05, typed=pick.random() < 0.05)  # fmt: skip
    if chance < 0.46:
        return told.case(pick, backend)
    if chance < 0.48:
        family, text = rules.dump(pick)
        return Case(family, backend, text, arguments=facts.arguments(pick))
    if chance < 0.55:
        return Case(4, backend, facts.MATCHES, packets.lines(pick, 4, 2), facts=facts.files(pick))
    family = pick.choice((4, 4, 6))
    text = rules.sound(pick.randrange(SOUND), family)
    return Case(family, backend, text, packets.lines(pick, family), views=pick.random() < 0.02)


def warm_up() -> None:
    """Read the recordings and choose the sound dumps: what forked processes then share."""
    for seed in range(SOUND):
        for family in (4, 6):
            rules.sound(seed, family)
    for number in range(100):
        make(0, number)
