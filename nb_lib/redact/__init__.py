"""Make a dump safe to show: other addresses, other names, the same meaning.

``redact(files)`` takes what stands in a host's folder (``nb_lib.engine.load.FILES``) as texts by name, and
returns it with addresses, names and comments exchanged by a key. A packet that is exchanged by the same key
takes the same way; ``nb_lib.redact.proof`` sends packets through both and compares.
"""

from nb_lib.redact.files import Redacted, redact
from nb_lib.redact.redactor import Redactor
from nb_lib.redact.values import Left

__all__ = ["Left", "Redacted", "Redactor", "redact"]
