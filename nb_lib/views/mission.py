"""A mission to be read, and what the judge found of it: for a page, a notebook, a terminal."""

from __future__ import annotations

from nb_lib.missions import Judgement, Mission, Network
from nb_lib.net import parse_net
from nb_lib.views.palette import LIGHT
from nb_lib.views.parts import MONO_FAMILY, SANS_FAMILY, hue, word
from nb_lib.views.svg import Markup, tag

LEVELS = {1: "easy", 2: "medium", 3: "hard"}
WIDTH, HEIGHT = 720, 118


def mission_bundle(mission: Mission) -> dict[str, str]:
    """Return a mission for a notebook: the situation, the picture, the goal, the rules; no solution."""
    parts = [tag("h4", mission.title), *told(mission), rules(mission)]
    return {
        "text/plain": str(mission),
        "text/html": str(tag("section", parts, class_="nf-mission")),
    }


def judgement_bundle(judgement: Judgement) -> dict[str, str]:
    """Return what the judge found, for a notebook."""
    head = f"{'Won' if judgement.won else 'Not yet'}, by {judgement.packets} packets."
    items = [tag("li", f"{'✓' if one.good else '✗'} {one.want.text}", tag("p", one.why) if one.why else None)
             for one in judgement.found]  # fmt: skip
    html = tag("section", tag("p", tag("strong", head)), tag("ul", items), class_="nf-mission")
    return {"text/plain": str(judgement), "text/html": str(html)}


def article(mission: Mission, number: int) -> Markup:
    """Write a mission for a page, all of it readable without a script: hints and solution are folded."""
    level = tag("span", LEVELS[mission.level], class_=f"play-level play-level-{mission.level}")
    head = tag("h3", tag("span", f"{number}. ", class_="play-number"), mission.title, " ", level,
               id=f"mission-{mission.name}")  # fmt: skip
    hints = [tag("details", tag("summary", f"Hint {n}"), tag("p", text), class_="play-hint")
             for n, text in enumerate(mission.hints, 1)]  # fmt: skip
    solution = tag("details", tag("summary", "A solution"),
                   tag("pre", mission.solution, tabindex="0"), tag("p", mission.lesson),
                   class_="play-solution")  # fmt: skip
    return tag("article", head, told(mission), rules(mission),
               tag("div", hints, solution, class_="play-folded"), class_="play-mission",
               data_mission=mission.name)  # fmt: skip


def told(mission: Mission) -> list[Markup]:
    """Write the situation, the picture, the goal and what is judged."""
    wants = [tag("li", want.text) for want in mission.wants]
    return [
        tag("p", mission.situation),
        network_picture(mission.network),
        tag("p", tag("strong", "Goal. "), mission.goal, class_="play-goal"),
        tag("ul", wants, class_="play-wants", aria_label="What is judged"),
    ]


def rules(mission: Mission) -> Markup:
    """Write the rules that the host has when the mission begins, folded."""
    dumps = [("iptables-save", mission.dump), ("ip6tables-save", mission.dump6)]
    shown = [tag("pre", f"# {name}\n{dump.rstrip()}", tabindex="0") for name, dump in dumps if dump]
    what = "The rules that are there" if shown else "No rules are there yet"
    return (
        tag("details", tag("summary", what), shown, class_="play-rules")
        if shown
        else tag("p", f"{what}.")
    )


def network_picture(network: Network) -> Markup:
    """Draw the host between its two networks."""
    says = (
        f"{network.outside_name}, {network.outside} {network.far[0]}, the host, "
        f"{network.inside} {network.near[0]}, {network.inside_name} {network.beside}".rstrip()
    )
    near = str(parse_net(network.near[0], 4))
    svg = tag(
        "svg",
        tag("title", f"The host between two networks: {says}"),
        _wire(196, 282, network.outside, network.far),
        _wire(438, 524, network.inside, network.near),
        _box(8, network.outside_name, ["by way of 10.2.0.2"], ""),
        _box(282, "the host", ["routes between them"], "filter"),
        _box(524, network.inside_name, list(filter(None, (near, network.beside))), ""),
        viewBox=f"0 0 {WIDTH} {HEIGHT}", width=WIDTH, height=HEIGHT, role="img",
        font_family=SANS_FAMILY, style="max-width:100%;min-width:480px;height:auto",
    )  # fmt: skip
    return tag(
        "div",
        svg,
        class_="play-network",
        tabindex="0",
        role="group",
        aria_label="The host and its networks",
    )


def _box(x: int, name: str, lines: list[str], table: str) -> Markup:
    shades = hue(table)
    wide, middle = (156 if table else 188), x + (78 if table else 94)
    frame = tag("rect", x=x, y=24, width=wide, height=70, rx=8, stroke_width=1.4,
                fill=shades.fill if table else LIGHT.panel, stroke=shades.line)  # fmt: skip
    texts = [
        word(line, middle, 68 + 17 * n, "m", font_size=12, text_anchor="middle")
        for n, line in enumerate(lines)
    ]
    title = word(name, middle, 50, "i", font_size=14, font_weight=600, text_anchor="middle")
    return tag(
        "g", frame, title, texts, class_=f"nf-cell nf-{table}" if table else "nf-cell nf-plain"
    )


def _wire(left: int, right: int, device: str, addresses: tuple[str, ...]) -> Markup:
    line = tag("path", d=f"M{left} 59H{right}", stroke=LIGHT.ink, stroke_width=2, class_="nf-way")
    middle = (left + right) / 2
    name = word(device, middle, 50, "i", font_size=12.5, font_weight=600, text_anchor="middle",
                font_family=MONO_FAMILY, class_="nf-mono")  # fmt: skip
    texts = [word(one.partition("/")[0], middle, 76 + 15 * n, "m", font_size=11, text_anchor="middle",
                  font_family=MONO_FAMILY, class_="nf-mono") for n, one in enumerate(addresses)]  # fmt: skip
    return tag("g", line, name, texts)
