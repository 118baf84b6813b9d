#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The kernel keeps the neighbours of backends resolved, and lets go of those of former ones.
# parallel: yes
. "$(dirname "$0")/lib.sh"
export LIMITS='{flows: 10000, flows6: 10000, tuples: 10000}' # swept in seconds
three_backends dsr

kept() { ip -n edge neigh show "$1" dev eth0 | grep -q managed; }
let_go() { ! kept "$1"; }
check 'that of b3 is kept' kept 10.0.0.13
MEMBERS='b1 b2 b3 b4' edge_config dsr
reload
check 'that of one that never answers is asked for' eventually 5 kept 10.0.0.14
edge_config dsr
reload
check 'and let go when the backend has left' eventually 30 let_go 10.0.0.14
check 'that of b3 is still kept' kept 10.0.0.13
stop edge
check 'by a daemon that ends too' kept 10.0.0.13
t unload
check 'and let go at unload' eventually 5 let_go 10.0.0.13
