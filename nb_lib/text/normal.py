"""The normal form of an extension's settings: the one that iptables-save prints.

Source: libxtables/xtoptions.c xtables_options_fcheck().
"""

from __future__ import annotations

from nb_lib.options import Extension, Option, RefusedError, Setting

UNREAD = object()  # the value of an option that only the kernel refuses


def normal(extension: Extension, settings: dict[str, Setting], family: int) -> dict[str, Setting]:
    """Fill in defaults and bring settings into the form and order that iptables-save prints.

    Raises ValueError for what iptables refuses.
    """
    if extension.final is not None:
        extension.final(settings)
    for option in extension.awaited:
        if option.name not in settings:
            if option.required:
                said = extension.saying("missing", option)
                raise RefusedError(f"{extension.name}: {option.name} is missing", said)
            if option.default is not None:
                settings[option.name] = Setting(option.default)
    if extension.grouped and len(settings) > 1:
        _exclude(extension, settings)
    if extension.tidy is not None and all(one.value is not UNREAD for one in settings.values()):
        settings = extension.tidy(settings, family)
    if len(settings) < 2:
        return settings
    return {o.name: settings[o.name] for o in extension.options if o.name in settings}


def _exclude(extension: Extension, settings: dict[str, Setting]) -> None:
    """Refuse two options of a group."""
    first: dict[str, Option] = {}
    for option in extension.grouped:
        if option.name not in settings:
            continue
        before = first.setdefault(option.group, option)
        if before is not option:
            said = extension.saying("group", before)
            said = said.replace("{other}", option.called or option.name)
            reason = f"{before.name} and {option.name} exclude each other"
            raise RefusedError(reason, said, option=option.name)
