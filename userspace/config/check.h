/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checks that need more than one value. Private to config/.
 *
 * Each takes the document too, whose lists correspond item by item to the
 * configuration's, and fails with the place of the value that is wrong.
 */
#ifndef TD_CONFIG_CHECK_H
#define TD_CONFIG_CHECK_H

#include "config/document.h"

/* Everything; 0, -EINVAL with the sentence, or -ENOMEM. */
int td_check(struct td_document *d, const struct td_config *c);

/*
 * Compares one field of `length` bytes of all `n` elements. Returns 1 and the
 * first element in the list's order that repeats an earlier one, 0 where none
 * does, or -ENOMEM.
 */
int td_check_repeated(const void *array, size_t n, size_t size, size_t offset, size_t length,
		      size_t *ret_first, size_t *ret_again);

#define TD_CHECK_REPEATED(array, n, field, first, again)                                           \
	td_check_repeated(array, n, sizeof(*(array)), offsetof(__typeof__(*(array)), field),       \
			  sizeof((array)->field), first, again)

/* A service with delivery workers; @node: what stands under its `workers`, or NULL. */
int td_check_workers(struct td_document *d, const struct td_service_conf *s,
		     const struct td_node *node);

/* What a service and its backends say of QUIC. */
int td_check_quic(struct td_document *d, const struct td_service_conf *s,
		  const struct td_node *node);

/* What a service and its backends say of checks. */
int td_check_health(struct td_document *d, const struct td_service_conf *s,
		    const struct td_node *node);

/* The groups of all services: apart from one another, of one size each, no more of
 * them and of their listeners than the tables hold. */
int td_check_groups(struct td_document *d, const struct td_config *c);

/* What deliveries nat and fullnat need, and others cannot have; @node: the service. */
int td_check_nat(struct td_document *d, const struct td_service_conf *s,
		 const struct td_node *node);

/* Their sources and ports, between all services. */
int td_check_lanes(struct td_document *d, const struct td_config *c);

/* Pools of source addresses: names and cgroups given once, sources no VIPs. */
int td_check_egress(struct td_document *d, const struct td_config *c);

/* "more VIPs than limits.vips allows ..." */
int td_check_fail_limit(struct td_document *d, struct td_place at, const char *what,
			uint32_t limit);

/* What services claim on each VIP: no two the same, none partly over another,
 * and with the prefixes around it no more than a VIP's entry holds. */
int td_check_claims(struct td_document *d, const struct td_config *c);

#endif
