"""nft rulesets: ``nft -j list ruleset`` and ``nft list ruleset``, in and out."""

from nb_lib.text.nft.apply import apply
from nb_lib.text.nft.as_text import rule_text, write_part, write_text
from nb_lib.text.nft.json_listing import objects, read_json, write_json
from nb_lib.text.nft.read_text import read_rule, read_text
from nb_lib.text.nft.values import Chain, Element, Rule, Ruleset, Set, Table, Unknown

__all__ = ["Chain", "Element", "Rule", "Ruleset", "Set", "Table", "Unknown", "apply", "objects", "read_json",
           "read_rule", "read_text", "rule_text", "write_json", "write_part", "write_text"]  # fmt: skip
