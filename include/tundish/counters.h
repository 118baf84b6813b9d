/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every counter of the data path, once. From this table come the BPF struct
 * and its indices, the text of the command line, the HELP lines of the metrics
 * and the manual. Rows are appended, never renumbered or re-used.
 *
 * X(name, kind, help)
 *   DROP   a packet ended here, for this reason
 *   PASS   a packet for this host's stack
 *   SEND   a packet left by this program
 *   EVENT  something happened on the way; the packet has a row of its own
 */
#ifndef TUNDISH_COUNTERS_H
#define TUNDISH_COUNTERS_H

#include <linux/types.h>

#define TUNDISH_COUNTERS(X)                                                                        \
	X(pass_other, PASS, "packets to no service, passed untouched")                             \
	X(pass_workers, PASS, "packets handed to this host's own listeners")                       \
	X(pass_decapsulated, PASS, "tunnelled packets unwrapped for this host's own listeners")    \
	X(pass_local, PASS, "packets to a backend that is this host itself")                       \
	X(pass_fragment, PASS, "fragments to a VIP whose services are all on this host")           \
	X(pass_icmp, PASS, "ICMP to a VIP that is left to this host's stack")                      \
	X(sent_dsr, SEND, "packets sent with rewritten MAC addresses")                             \
	X(sent_ipip, SEND, "packets sent in a tunnel")                                             \
	X(sent_ping, SEND, "pings to a VIP that were answered")                                    \
	X(sent_icmp_too_big, SEND, "packets above the path's MTU, answered with ICMP")             \
	X(drop_malformed, DROP, "packets to a VIP whose headers contradict their length")          \
	X(drop_tcp_flags, DROP, "TCP segments whose flags no stack sends")                         \
	X(drop_fragment, DROP,                                                                     \
	  "fragments without ports, or before or long after the first one of their packet")        \
	X(drop_extension, DROP, "IPv6 packets to a VIP with more extension headers than are read") \
	X(drop_ttl, DROP, "packets whose hop limit ended here")                                    \
	X(drop_no_backend, DROP, "packets to a service without a usable backend")                  \
	X(drop_no_nexthop, DROP, "packets to a backend without a known route or neighbour")        \
	X(drop_headroom, DROP, "packets that could not be resized for their new header")           \
	X(drop_internal, DROP, "packets for which a table gave what cannot be")                    \
	X(vlan, EVENT, "packets that carried a VLAN tag")                                          \
	X(icmp_error, EVENT, "ICMP errors about a flow, sent on to its backend")                   \
	X(fib_lookup, EVENT,                                                                       \
	  "packets that asked the route table for a next hop; it answers where the NIC forwards")  \
	X(flow_lookup, EVENT, "packets that asked the flow table")                                 \
	X(flow_new, EVENT, "flows entered at their SYN or first UDP packet")                       \
	X(flow_established, EVENT,                                                                 \
	  "flows established by an ACK that fits their SYN, or by UDP that goes on")               \
	X(flow_closed, EVENT, "flows closed by their client's FIN or RST")                         \
	X(flow_evicted, EVENT, "half-open, new UDP or expired flows that gave way to newer ones")  \
	X(flow_full, EVENT, "flows without a place in the table, served by Maglev alone")          \
	X(flow_moved, EVENT, "packets of flows whose backend was disabled, sent to another")       \
	X(flow_unknown, EVENT, "packets of no known flow in a slot that has changed its owner")    \
	X(tuple_full, EVENT, "connections without a place in the tuple table, not counted there")  \
	X(tuple_evicted, EVENT, "tuples without active connections that gave way to newer ones")   \
	X(drop_no_worker, DROP, "SYNs to a worker group that is empty, within restart_grace")      \
	X(own_connect, EVENT, "connections of this host's programs to a VIP, led to a backend")    \
	X(own_no_family, EVENT,                                                                    \
	  "connections of this host to a VIP, refused: its backends have another family")          \
	X(sent_gue, SEND, "packets sent in a GUE tunnel")                                          \
	X(pass_gue, PASS,                                                                          \
	  "GUE packets to this host with control messages, options or broken lengths")             \
	X(sent_nat, SEND, "packets sent to a backend with its address and port")                   \
	X(sent_fullnat, SEND, "packets sent to a backend from a source address of the pool")       \
	X(sent_reply, SEND, "answers of backends sent to their client in the VIP's name")          \
	X(sent_rst_ports, SEND, "SYNs answered with RST because no source port was free")          \
	X(sent_rst_unknown, SEND, "segments of no known connection answered with RST")             \
	X(sent_rst_disabled, SEND,                                                                 \
	  "segments of connections whose backend was disabled, answered with RST")                 \
	X(drop_nat_full, DROP, "packets whose connection found no place in the NAT table")         \
	X(drop_nat_ports, DROP, "packets of new UDP flows for which no source port was free")      \
	X(drop_nat_unknown, DROP,                                                                  \
	  "resets of no known connection, and packets from addresses that no client has")          \
	X(drop_nat_family, DROP, "packets that cannot be translated to their new addresses")       \
	X(nat_reply_unknown, EVENT, "packets of backends that belong to no known connection")      \
	X(nat_collision, EVENT,                                                                    \
	  "ports that another connection had at the same server, another one was taken")           \
	X(nat_overflow, EVENT,                                                                     \
	  "connections given to another backend because the first had no source port left")        \
	X(hairpin, EVENT, "connections of clients beside their backend, given a source here")      \
	X(return_moved, EVENT, "connections whose client's packets come by another way now")       \
	X(checksum_partial, EVENT, "packets whose checksum was to be completed by a NIC")          \
	X(mss_lowered, EVENT, "SYNs whose MSS was lowered")                                        \
	X(toa_added, EVENT, "segments that tell a backend the client's address")                   \
	X(toa_no_room, EVENT, "segments without room for the client's address")                    \
	X(toa_stripped, EVENT, "segments whose client claimed an address, which was taken out")    \
	X(toa_read, EVENT, "connections whose client was told by a TCP option")                    \
	X(toa_untrusted, EVENT,                                                                    \
	  "TCP options with a client's address from others than are trusted")                      \
	X(toa_no_family, EVENT,                                                                    \
	  "TCP options with an IPv6 client for an IPv4 socket, which is told the balancer")        \
	X(quic_routed, EVENT, "QUIC packets sent to the backend that their connection id names")   \
	X(quic_unroutable, EVENT,                                                                  \
	  "QUIC packets whose connection id names no usable backend, sent by their tuple")         \
	X(fragment_followed, EVENT, "later fragments sent after the first one of their packet")    \
	X(overflow, EVENT,                                                                         \
	  "connections given to another backend because the first had its max_connections")        \
	X(sent_rst_full, SEND,                                                                     \
	  "segments answered with RST because all backends had their max_connections")             \
	X(drop_full, DROP,                                                                         \
	  "packets of new flows whose service's backends all had their max_connections")

enum tundish_counter {
#define TUNDISH_X(name, kind, help) TUNDISH_COUNTER_##name,
	TUNDISH_COUNTERS(TUNDISH_X)
#undef TUNDISH_X
		TUNDISH_COUNTER_MAX
};

enum tundish_counter_kind {
	TUNDISH_KIND_DROP,
	TUNDISH_KIND_PASS,
	TUNDISH_KIND_SEND,
	TUNDISH_KIND_EVENT
};

/* ---- counters: per-CPU array of one ---------------------------------------- */
struct tundish_counters {
#define TUNDISH_X(name, kind, help) __u64 name;
	TUNDISH_COUNTERS(TUNDISH_X)
#undef TUNDISH_X
};

#endif
