"""Whatever comes in: damaged dumps, packets, facts and arguments by the million; see __main__.py."""
