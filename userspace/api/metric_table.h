/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every metric, once. From this table come the HELP, TYPE and UNIT lines of /metrics; scripts/check-manuals
 * holds tundishd(8) to it, both ways (`scripts/check-manuals --metrics` prints the manual's lines). The
 * counters of the data path follow from include/tundish/counters.h in the same way.
 *
 * X(name, type, unit, labels, bound, help)
 *   name    without "tundish_"
 *   type    COUNTER (its name ends in "_total"), GAUGE, HISTOGRAM
 *   unit    what the name ends in before that: "seconds", "bytes", "ratio"; "": none of them
 *   labels  in brackets: those that only some series have
 *   bound   what bounds the number of series: a row of TD_METRIC_BOUNDS
 */
#ifndef TD_API_METRIC_TABLE_H
#define TD_API_METRIC_TABLE_H

#define TD_METRIC_BOUNDS(X)                                                                        \
	X(ONE, "one series")                                                                       \
	X(FIXED, "a series for each word of a fixed list")                                         \
	X(SERVICES, "by service of the file, at most 4096")                                        \
	X(BACKENDS, "by backend of the file, at most 131072")                                      \
	X(WORKERS, "by worker, at most 16384")                                                     \
	X(GROUPS, "by worker, of groups of at most 64")                                            \
	X(TOP, "the 20 tuples that have most")                                                     \
	X(PORTS, "the fullest 1000 tuples, and at most 9000 more that have used a tenth")          \
	X(SPACES, "by watched network namespace, at most 31")                                      \
	X(POOLS, "by pool of the file, at most 32, of 64 sources")

#define TD_METRICS(X)                                                                               \
	X(build_info, GAUGE, "", "version", ONE, "1, with the version that runs.")                  \
	X(connections_total, COUNTER, "", "service,target", BACKENDS,                               \
	  "Connections established, by the client's handshake.")                                    \
	X(connections_active, GAUGE, "", "service,target", BACKENDS,                                \
	  "Connections established and not closed.")                                                \
	X(packets_total, COUNTER, "", "service,target", BACKENDS, "Packets from clients.")          \
	X(bytes_total, COUNTER, "bytes", "service,target", BACKENDS,                                \
	  "Bytes from clients, from the IP header on.")                                             \
	X(backend_up, GAUGE, "", "service,backend", BACKENDS,                                       \
	  "1 where the backend's state is up and health does not say down.")                        \
	X(drops_total, COUNTER, "", "reason", FIXED, "Packets dropped, by reason.")                 \
	X(tuple_connections_active, GAUGE, "", "client,vip,port,protocol", TOP,                     \
	  "Connections established and not closed, of the tuples that have most.")                  \
	X(tuple_utilization_max_ratio, GAUGE, "ratio", "", ONE,                                     \
	  "Of 64512 ports that a client can have towards one VIP and port, how many the one with "  \
	  "most has in use.")                                                                       \
	X(backend_max_connections, GAUGE, "", "service,backend", BACKENDS,                          \
	  "Most connections that the backend may have, where it has a limit.")                      \
	X(connections_refused_total, COUNTER, "", "service", SERVICES,                              \
	  "New connections refused because all backends of the service had their max_connections.") \
	X(table_entries, GAUGE, "", "table", FIXED,                                                 \
	  "Entries in use, as the last sweep counted them.")                                        \
	X(table_capacity_entries, GAUGE, "", "table", FIXED,                                        \
	  "Entries that the table has room for.")                                                   \
	X(checks_total, COUNTER, "", "result", FIXED,                                               \
	  "Health checks done, and questions to agents, by result.")                                \
	X(check_duration_seconds, GAUGE, "seconds", "service,backend", BACKENDS,                    \
	  "How long the last health check of a backend took.")                                      \
	X(check_latency_seconds, HISTOGRAM, "seconds", "service", SERVICES,                         \
	  "How long health checks took, whatever came of them, by service.")                        \
	X(trials_total, COUNTER, "", "result", FIXED,                                               \
	  "Connections of this host to servers that clients' connections failed at.")               \
	X(backend_ejections_total, COUNTER, "", "service,backend", BACKENDS,                        \
	  "Ejections of a backend for connections of clients that failed.")                         \
	X(backend_failures_in_a_row, GAUGE, "", "service,backend", BACKENDS,                        \
	  "Connections of clients that a backend refused or did not answer, since the last one "    \
	  "that it answered.")                                                                      \
	X(worker_queue_depth, GAUGE, "", "service,worker", WORKERS,                                 \
	  "Connections that wait to be accepted.")                                                  \
	X(worker_queue_limit, GAUGE, "", "service,worker", WORKERS,                                 \
	  "Connections that can wait to be accepted.")                                              \
	X(worker_connections_total, COUNTER, "", "service,worker", WORKERS,                         \
	  "Connections that came into the worker's queue, or datagrams, by whichever service.")     \
	X(worker_refusals_total, COUNTER, "", "service,reason", SERVICES,                           \
	  "SYNs or datagrams that got no worker, by reason.")                                       \
	X(accept_wait_seconds, HISTOGRAM, "seconds", "service", SERVICES,                           \
	  "From the end of the handshake to accept(2), by service.")                                \
	X(syn_accept_seconds, HISTOGRAM, "seconds", "service", SERVICES,                            \
	  "From the SYN to accept(2), by service, of connections whose handshake the kernel "       \
	  "timed: not those by SYN cookie, or whose SYN-ACK was sent again.")                       \
	X(worker_accept_wait_seconds, HISTOGRAM, "seconds", "service,worker", GROUPS,               \
	  "From the end of the handshake to accept(2), by worker.")                                 \
	X(nat_connections, GAUGE, "", "service,state", SERVICES,                                    \
	  "Translated connections, by state of both ends, as the last sweep counted them.")         \
	X(nat_early_reuse_total, COUNTER, "", "", ONE,                                              \
	  "Source ports given again before their rest was over, where that is safe.")               \
	X(source_ports_used, GAUGE, "",                                                             \
	  "source,local_ip,remote_ip,remote_port[,namespace,protocol],state", PORTS,                \
	  "Source ports in use, by tuple and state of the connection.")                             \
	X(source_ports_usable, GAUGE, "",                                                           \
	  "local_ip,remote_ip,remote_port[,namespace,protocol,source]", PORTS,                      \
	  "Source ports that the tuple can have: the range less reserved and blocked ones.")        \
	X(source_port_utilization_ratio, GAUGE, "ratio",                                            \
	  "local_ip,remote_ip,remote_port[,namespace,protocol,source]", PORTS,                      \
	  "Used of the usable ones, without those that connect can take over from TIME_WAIT.")      \
	X(source_port_utilization_max_ratio, GAUGE, "ratio", "", ONE,                               \
	  "That of the fullest tuple.")                                                             \
	X(source_port_exhaustion_seconds, GAUGE, "seconds",                                         \
	  "local_ip,remote_ip,remote_port[,namespace,protocol,source]", PORTS,                      \
	  "Until no port is left at the present rate, of tuples that are filling.")                 \
	X(source_port_allocation_failures_total, COUNTER, "",                                       \
	  "local_ip,remote_ip,remote_port[,namespace,protocol,source],errno", PORTS,                \
	  "Connections and binds that got no port.")                                                \
	X(source_port_search_seconds, HISTOGRAM, "seconds", "", ONE,                                \
	  "What connect spends on finding a source port.")                                          \
	X(time_wait_sockets, GAUGE, "", "[namespace]", SPACES, "Sockets in TIME_WAIT.")             \
	X(time_wait_limit_sockets, GAUGE, "", "[namespace]", SPACES,                                \
	  "Most sockets in TIME_WAIT, net.ipv4.tcp_max_tw_buckets.")                                \
	X(time_wait_entered_total, COUNTER, "", "[namespace]", SPACES,                              \
	  "Sockets that went into TIME_WAIT, as the kernel counts.")                                \
	X(time_wait_overflow_total, COUNTER, "", "[namespace]", SPACES,                             \
	  "Connections that ended without TIME_WAIT for want of room.")                             \
	X(socket_scan_duration_seconds, GAUGE, "seconds", "", ONE,                                  \
	  "How long the last scan of all sockets took.")                                            \
	X(socket_scan_cpu_seconds, GAUGE, "seconds", "", ONE, "Of CPU, for the last scan.")         \
	X(socket_scan_interval_seconds, GAUGE, "seconds", "", ONE,                                  \
	  "From the beginning of the last scan to that of the next.")                               \
	X(socket_scan_timestamp_seconds, GAUGE, "seconds", "", ONE,                                 \
	  "When the last scan ended, since the epoch.")                                             \
	X(egress_connections_total, COUNTER, "", "pool,source", POOLS,                              \
	  "Connections that got this source of the pool.")                                          \
	X(egress_source_up, GAUGE, "", "pool,source", POOLS,                                        \
	  "1 where connections may get this source.")                                               \
	X(egress_left_alone_total, COUNTER, "", "pool,reason", POOLS,                               \
	  "Connections that got no source of the pool, by reason.")                                 \
	X(egress_exhausted_total, COUNTER, "", "pool", POOLS,                                       \
	  "Connections for which no source of the pool had a port left.")                           \
	X(egress_shifts_total, COUNTER, "", "pool", POOLS,                                          \
	  "Times that a source was passed over for another because it was half full.")

#endif
