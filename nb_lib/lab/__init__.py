"""The Lab: a reader's own dump, looked at in the reader's own browser. Messages in, answers out, both JSON.

Theory of operation. A page (``book/_assets/lab.js``) asks; ``answer`` replies, in the worker that runs
Python for the page. Nothing is sent anywhere: there is nobody to send it to. What was pasted is told apart by
what it holds (``paste``), becomes one ``Bench`` with a host on it (``bench``), and each question to it is one
function (``desk``, ``sharing``): read, draw, ask (``question``, ``asked``), diagnose, redact, compare. Long
work tells how far it is. What a dump says reaches the page as text, or as markup of ``nb_lib.views``, which
escapes it.
"""

from nb_lib.lab.messages import answer

__all__ = ["answer"]
