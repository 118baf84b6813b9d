/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Limits of the layout: numbers that the shape of a map or of a bit field
 * fixes. What an operator may choose below them stands in `limits:` of the
 * configuration.
 */
#ifndef TUNDISH_LIMITS_H
#define TUNDISH_LIMITS_H

#include <linux/types.h>

/* Version of every layout in this directory. A pinned map with another
 * version is never re-used. */
#define TUNDISH_LAYOUT_VERSION 4
#define TUNDISH_MAGIC	       0x74756e64u /* "tund" */

#define TUNDISH_NAME_LEN     64		/* with the closing zero */
#define TUNDISH_VIPS_MAX     (1u << 14) /* bits in a flow's value */
#define TUNDISH_BACKENDS_MAX (1u << 17) /* bits in a flow's value */
#define TUNDISH_SERVICES_MAX 4096u	/* bits in a port range */
#define TUNDISH_NEXTHOPS_MAX 65536u
/* One that is replaced rests before it is used again, so there are two per backend and lane. */
#define TUNDISH_NEXTHOPS_OF(backends)                                                              \
	((backends) < TUNDISH_NEXTHOPS_MAX / 2 ? 2 * (__u32)(backends) : TUNDISH_NEXTHOPS_MAX)
#define TUNDISH_RANGES_MAX	    64u	   /* port ranges of one VIP */
#define TUNDISH_MAGLEV_SLOTS	    65537u /* prime, Maglev paper section 3.4 */
#define TUNDISH_WORKERS_MAX	    16384u
#define TUNDISH_GROUPS_MAX	    256u
#define TUNDISH_GROUP_SIZE_MAX	    256u  /* workers of one group */
#define TUNDISH_GROUP_LISTENS	    4u	  /* addresses that one group listens on */
#define TUNDISH_TRUSTED_SERVICE	    64u	  /* prefixes of one service */
#define TUNDISH_TRUSTED_MAX	    8192u /* of all, with those that a reload replaces */
#define TUNDISH_LISTENS_OF(groups)  ((groups)*TUNDISH_GROUP_LISTENS)
#define TUNDISH_MEMBERS_OF(workers) ((workers)*4 + 1024)
#define TUNDISH_SPACES_MAX	    32u /* network namespaces whose source ports are watched */
#define TUNDISH_PORTS_MAX	    (1u << 20) /* tuples of source ports */
#define TUNDISH_PORT_OWNERS_MAX	    8192u
#define TUNDISH_CLOSERS_MAX	    4096u
#define TUNDISH_EGRESS_MAX	    33u /* pools, from 1 on */
#define TUNDISH_EGRESS_SOURCES	    64u /* sources of one pool */
#define TUNDISH_EGRESS_EXCEPTS	    64u /* destinations that one pool leaves alone */
#define TUNDISH_EGRESS_EXCEPT_MAX   (2 * TUNDISH_EGRESS_MAX * TUNDISH_EGRESS_EXCEPTS)
#define TUNDISH_EGRESS_PASSED	    1024u /* sources whose shift is remembered */
#define TUNDISH_BUCKET_ENTRIES	    4u	  /* entries of a flow or tuple bucket */

/* A table for N entries has 33/64 N buckets of four: 48% full when it holds what
 * was asked for, where an entry without a place in both of its buckets is one in
 * a million, and 33 bytes for an IPv4 flow. Any number will do, not only powers
 * of two, which would cost up to twice the memory. */
#define TUNDISH_BUCKETS_OF(n)	     ((__u32)(((__u64)(n)*33 + 63) / 64))
#define TUNDISH_CAPACITY_OF(buckets) ((__u64)(buckets)*64 / 33)

/* Index 0 of services, backends, next hops and VIPs means "none". */
#define TUNDISH_NONE 0u

#endif
