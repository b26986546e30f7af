"""What a reader sees of a mistake: the message, in a terminal and in Jupyter."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell

from nb_lib import NbError, RulesetError, parse, tcp
from nb_lib.errors import PacketError

BROKEN = "*filter\n-A guests -j DROP\nCOMMIT\n"


def test_jupyter_shows_the_message_without_a_stack(capsys):
    shell = InteractiveShell()
    shell.push({"parse": parse, "BROKEN": BROKEN})
    shell.run_cell("parse(BROKEN)")
    with pytest.raises(RulesetError) as found:
        parse(BROKEN)
    shown = capsys.readouterr().out
    assert shown.strip() == f"RulesetError: {found.value}"
    assert ".py" not in shown


def test_every_line_of_the_message_is_a_line_of_its_own():
    with pytest.raises(NbError) as found:
        parse(BROKEN)
    lines = found.value._render_traceback_()
    assert lines[0].startswith("RulesetError: line 2, column 4: ")
    assert not any("\n" in line for line in lines)
    assert lines[1:] == str(found.value).splitlines()[1:]


def test_other_mistakes_too():
    with pytest.raises(PacketError) as found:
        tcp("nowhere", "10.0.0.1:80")
    assert found.value._render_traceback_()[0].startswith("PacketError: ")
