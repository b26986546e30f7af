"""One browser for all tests of the diagrams."""

from __future__ import annotations

import pytest

from tests.views.browser import Desk


@pytest.fixture(scope="session")
def desk(chromium_path, tmp_path_factory):
    found = Desk(chromium_path, tmp_path_factory.mktemp("figures"))
    yield found
    found.close()
