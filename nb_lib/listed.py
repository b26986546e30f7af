"""How ``iptables -L`` shows the options of one match or target.

Most extensions print a word of their own and then their options in the order of their table; the
patterns stand in the tables (``Option.listed``). Source: the ``print`` functions of iptables' extensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nb_lib.kinds import Range
from nb_lib.options import Option, Setting, Use

AS_SAVED = "{! }{name} {value}"  # a pattern of many options


def use_listed(use: Use, *, numeric: bool) -> str:
    """Return what is shown of one extension, with a blank before each part."""
    extension = use.extension
    if extension.listed is not None:
        return extension.listed(use, numeric)
    return options_listed(use, numeric)


def headed(words: str) -> Callable[[Use, bool], str]:
    """Return an ``Extension.listed``: ``words`` (their first blank included), then the options."""
    return lambda use, numeric: words + options_listed(use, numeric)


def led(words: str) -> Callable[[Use, bool], str]:
    """Return an ``Extension.listed`` like ``headed``; a blank follows the words, whatever comes first."""

    def listed(use: Use, numeric: bool) -> str:
        first, *rest = (part_listed(use, option, numeric) for option in use.extension.options)
        return f"{words} {first or ''}" + "".join(f" {part}" for part in rest if part is not None)

    return listed


def options_listed(use: Use, numeric: bool) -> str:
    """Return the options that have a pattern, each with a blank before it."""
    parts = (part_listed(use, option, numeric) for option in use.extension.options)
    return "".join(f" {part}" for part in parts if part is not None)


def part_listed(use: Use, option: Option, numeric: bool) -> str | None:
    """Return what is shown of one option, None if it is not.

    What iptables-save leaves out is left out here too, but for what a ``!`` stands before.
    """
    setting = use.settings.get(option.name)
    if setting is None or not option.listed or (option.hides(setting) and not setting.inverted):
        return None
    return option_listed(option, setting, numeric)


def option_listed(option: Option, setting: Setting, numeric: bool) -> str:
    """Fill in how ``-L`` shows an option: ``{! }dpt{s}:{value}``."""
    mark, spaced = ("!", "! ") if setting.inverted else ("", "")
    several = "s" if _several(setting.value) else ""
    pattern = option.listed.replace("{!}", mark).replace("{! }", spaced).replace("{s}", several)
    pattern = pattern.replace("{name}", option.name.lstrip("-"))
    return pattern.replace("{value}", option.kind.listed(setting.value, numeric))


def _several(value: Any) -> bool:
    return isinstance(value, Range) and value.low != value.high
