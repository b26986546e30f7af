"""One message in, one answer out, both JSON.

A message is an object with ``do``; the answer is one, too. ``{"error": …}`` says what is wrong with what
the reader gave, with its line, column, token and hint where there are some; ``{"problem": …}`` is a mistake
of ours.
"""

from __future__ import annotations

import json

from nb_lib.errors import NbError
from nb_lib.lab import desk as work
from nb_lib.lab import sharing
from nb_lib.lab.desk import Tell, WrongError, desk, wrong

_DO = {**work.DO, **sharing.DO}


def answer(message: str, tell: Tell = lambda _: None) -> str:
    """Do what a message asks and say what came of it; both are JSON. ``tell`` hears how far it is."""
    desk.tell = tell
    try:
        asked = json.loads(message)
        return json.dumps(_DO[asked["do"]](asked))
    except WrongError as error:
        return json.dumps({"error": error.mistakes[0], "mistakes": error.mistakes})
    except NbError as error:
        return json.dumps({"error": wrong(error)})
    except KeyboardInterrupt:
        return json.dumps({"stopped": True})
    except Exception as problem:  # noqa: BLE001 - the page lives on, and says that it was our mistake
        return json.dumps({"problem": f"{type(problem).__name__}: {problem}"[:500]})
