"""The programs of a node that is not there, one room each: nft, ipset, ipvsadm, ip.

Each takes what it works on as a value, and returns what it printed and what has become of the value. An input
with a wrong line leaves the value as it was. iptables has a package of its own, ``nb_lib.cli``.
"""
