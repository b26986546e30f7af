"""Buttons and links that need the project's public address, from public.toml alone."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

SETTING = Path(__file__).resolve().parents[2] / "public.toml"


def public_address(setting: Path = SETTING) -> dict[str, str]:
    """Read the setting; an environment variable NB_… wins over the file."""
    given = tomllib.loads(setting.read_text(encoding="utf-8"))
    return {name: os.environ.get(f"NB_{name.upper()}", value) for name, value in given.items()}


def theme_options(address: dict[str, str]) -> dict[str, Any]:
    """Return the theme's options for this address: none while it is unknown."""
    repository = address["repository"].rstrip("/")
    if not repository:
        return {"repository_url": "", "launch_buttons": {}}
    return {
        "repository_url": repository,
        "repository_branch": address["branch"],
        "path_to_docs": "book",
        "use_repository_button": True,
        "use_edit_page_button": True,
        "use_issues_button": True,
        "launch_buttons": {"binderhub_url": address["binder"], "notebook_interface": "jupyterlab"},
    }


def apply(_app: Sphinx, config: Config) -> None:
    """Put the address into Sphinx's configuration, before the theme looks."""
    address = public_address()
    config.html_theme_options = {**config.html_theme_options, **theme_options(address)}
    config.html_baseurl = address["pages"]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    # Jupyter Book sets this even when sphinx_comments, whose setting it is, is left out.
    app.add_config_value("comments_config", {}, "html")
    app.connect("config-inited", apply, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
