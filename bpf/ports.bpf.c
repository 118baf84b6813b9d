// SPDX-License-Identifier: GPL-2.0-only
/*
 * Source ports: who uses which, per (local IP, remote IP, remote port).
 *
 *   connect(2) ──► CLOSE to SYN_SENT ──► opened, held; search begins
 *                  SYN leaves (sockops) ──► search ends: histogram
 *                  SYN_SENT to CLOSE, no port ──► failed
 *   bind(2) ──► sys_exit, EADDRINUSE ──► failed, where that is asked for
 *   close ──► to CLOSE ──► into TIME_WAIT: tw[], else freed
 *
 *   iter/tcp, iter/udp ──► counted[] of each tuple, bits of each port
 *   iter/task_file ──► port_owners: who blocks ports
 */
#include "maps.bpf.h"

#include "port_bind.bpf.h"
#include "port_events.bpf.h"
#include "port_scan.bpf.h"

char LICENSE[] SEC("license") = "GPL";
