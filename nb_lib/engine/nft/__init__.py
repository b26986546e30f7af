"""nft rulesets at work: base chains at their hooks, sets and maps, statements that meet a packet."""
