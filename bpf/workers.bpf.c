// SPDX-License-Identifier: GPL-2.0-only
/*
 * Worker groups: the programs around a listening socket's life, from listen(2)
 * over each new connection and its accept(2) to close(2).
 *
 *   listen(2) ──► sockops ──► listeners[index], workers[index]
 *   SYN ──► sk_lookup ──► shortest queue of the group ──► that listener
 *   handshake done ──► sockops ──► counted, time noted
 *   accept(2) ──► getpeername, sys_exit ──► how long it waited, who took it
 *   close(2) ──► sockops, sk_reuseport/migrate ──► siblings get what waits
 */
#include "maps.bpf.h"

#include "accept.bpf.h"
#include "listen.bpf.h"
#include "migrate.bpf.h"
#include "steer.bpf.h"

char LICENSE[] SEC("license") = "GPL";
