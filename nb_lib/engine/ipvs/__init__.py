"""IPVS, the kernel's load balancer: virtual servers, schedulers, connections, and its place at the hooks.

Theory of operation. A packet to a virtual server is found at INPUT (behind filter), or at OUTPUT if the host
sent it, so routing must have taken it for local: that is why kube-proxy puts every service address on a
dummy device. The scheduler picks a real server for a new connection; the connection remembers it. The
address is put in, and the packet is stolen from the hook: it goes on through OUTPUT and POSTROUTING as if
the host had sent it, one less from its TTL, never through FORWARD. The real server's answer does pass
FORWARD (or OUTPUT, if the server is on the host), where IPVS puts the virtual address back.

Linux: net/netfilter/ipvs/ip_vs_core.c, ip_vs_conn.c, ip_vs_xmit.c, ip_vs_nfct.c.
"""
