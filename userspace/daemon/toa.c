// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whose word is taken for a client's address: from the configuration into the map
 * `trusted`, by service. What is new is written before it is asked for, and what is not
 * in the file any more is taken out last, so that no connection meets half a list.
 */
#include "daemon/daemon.h"

static int put_all(struct td_daemon *d, uint32_t service, const struct td_workers_conf *w)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->n_trusted; i++)
		r = td_kernel_put_trusted(
			d->kernel, service,
			&(struct td_prefix){w->trusted[i].address, w->trusted[i].prefix});
	return r;
}

static bool stays(const struct td_workers_conf *w, const struct td_prefix *p)
{
	bool found = false;

	for (size_t i = 0; w && i < w->n_trusted; i++)
		found |= !td_prefix_compare(
			p, &(struct td_prefix){w->trusted[i].address, w->trusted[i].prefix});
	return found;
}

void td_client_address_put(struct td_daemon *d, uint32_t service, const struct td_service_conf *c)
{
	struct tundish_steering *s = &td_kernel_steering(d->kernel)[service];
	const struct td_workers_conf *w = c ? &c->workers : NULL;
	uint8_t wanted = w ? w->client_address : TUNDISH_CLIENT_ADDRESS_NONE;
	_cleanup_free_ struct td_prefix *former = NULL;
	size_t n = 0;
	int r;

	if (!wanted && !s->client_address)
		return;
	r = td_kernel_trusted(d->kernel, service, &former, &n);
	r = r < 0 || !w ? r : put_all(d, service, w);
	if (r < 0)
		td_log(TD_LOG_WARNING, "service %s: cannot write whom it trusts: %s",
		       c ? c->name : "?", strerror(-r));
	__atomic_store_n(&s->client_address, wanted, __ATOMIC_RELEASE);
	for (size_t i = 0; i < n; i++)
		if (!stays(w, &former[i]))
			td_kernel_delete_trusted(d->kernel, service, &former[i]);
}
