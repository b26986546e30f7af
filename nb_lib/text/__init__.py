"""Text in, rulesets out, and back: iptables-save, ``ip -j``, ``ipset save``."""

from nb_lib.text.parse import check, parse, uses
from nb_lib.text.save import rule_text, save, table_text, use_text

__all__ = ["check", "parse", "rule_text", "save", "table_text", "use_text", "uses"]
