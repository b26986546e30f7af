"""Conntrack's settings by sysctl: how long a silent connection is kept, in seconds, and a few more.

Each is ``net.netfilter.nf_conntrack_`` and the name. Linux: Documentation/networking/
nf_conntrack-sysctl.rst; net/netfilter/nf_conntrack_proto_*.c.
"""

from __future__ import annotations

from collections.abc import Mapping

from nb_lib.headers import GRE, ICMP, ICMPV6, UDP, UDPLITE

PREFIX = "net.netfilter.nf_conntrack_"
DEFAULTS: Mapping[str, int] = {
    "generic_timeout": 600,
    "icmp_timeout": 30,
    "icmpv6_timeout": 30,
    "udp_timeout": 30,
    "udp_timeout_stream": 120,
    "gre_timeout": 30,
    "gre_timeout_stream": 180,
    "sctp_timeout_closed": 10,
    "sctp_timeout_cookie_wait": 3,
    "sctp_timeout_cookie_echoed": 3,
    "sctp_timeout_established": 210,
    "sctp_timeout_shutdown_sent": 3,
    "sctp_timeout_shutdown_recd": 3,
    "sctp_timeout_shutdown_ack_sent": 3,
    "sctp_timeout_heartbeat_sent": 30,
    "tcp_timeout_syn_sent": 120,
    "tcp_timeout_syn_sent2": 120,  # the kernel has no sysctl for this one
    "tcp_timeout_syn_recv": 60,
    "tcp_timeout_established": 432_000,
    "tcp_timeout_fin_wait": 120,
    "tcp_timeout_close_wait": 60,
    "tcp_timeout_last_ack": 30,
    "tcp_timeout_time_wait": 120,
    "tcp_timeout_close": 10,
    "tcp_timeout_max_retrans": 300,
    "tcp_timeout_unacknowledged": 300,
    "tcp_loose": 1,  # a connection may be picked up in its midst
    "tcp_be_liberal": 0,  # what is out of the window may pass
    "tcp_ignore_invalid_rst": 0,
    "tcp_max_retrans": 3,  # repeated acknowledgements after which a connection counts as unanswered
    "checksum": 1,  # a packet that comes in with a wrong checksum is INVALID
}
_OF_PROTOCOL = {
    UDP: "udp_timeout",
    UDPLITE: "udp_timeout",
    ICMP: "icmp_timeout",
    ICMPV6: "icmpv6_timeout",
    GRE: "gre_timeout",
}


def of_protocol(timeouts: Mapping[str, int], protocol: int) -> int:
    """Return the seconds that a connection of a protocol without states lives."""
    return timeouts[_OF_PROTOCOL.get(protocol, "generic_timeout")]
