// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sockets of checks. With delivery fullnat they come from the pool's first source, as
 * connections do, where that is an address of this host. With dsr, ipip and gue they ask the
 * VIP of that very server.
 */
#include <netinet/in.h>

#include "daemon/checks.h"

bool td_check_is_led(uint8_t delivery)
{
	return delivery == TUNDISH_DELIVERY_DSR || delivery == TUNDISH_DELIVERY_IPIP ||
	       delivery == TUNDISH_DELIVERY_GUE;
}

/* An agent, for one, is asked at its host's own address. */
static bool goes_to(const struct sockaddr_storage *to, const struct tundish_addr *a)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)to;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)to;

	return to->ss_family == AF_INET
		       ? tundish_addr_is_v4(a) && v4->sin_addr.s_addr == a->word[3]
		       : !tundish_addr_is_v4(a) && !memcmp(&v6->sin6_addr, a, sizeof(*a));
}

/* One that is not there leaves the choice to the kernel. */
static void bind_to(int fd, const struct tundish_addr *a, int family)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = a->word[3]};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	int one = 1;

	if (tundish_addr_is_v4(a) != (family == AF_INET))
		return;
	memcpy(&v6.sin6_addr, a, sizeof(v6.sin6_addr));
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	(void)!bind(fd, family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
		    family == AF_INET ? sizeof(v4) : sizeof(v6));
}

int td_check_opened(void *context, void *probe_context, int fd, struct sockaddr_storage *to,
		    uint16_t *ret_port)
{
	const struct td_check *c = probe_context;
	const struct tundish_addr none = {0};

	if (!tundish_addr_equal(&c->source, &none))
		bind_to(fd, &c->source, to->ss_family);
	if (!td_check_is_led(c->delivery) || c->local || !goes_to(to, &c->address))
		return 0;
	return td_check_lead(context, c, fd, to, ret_port);
}

bool td_check_closed(void *context, void *probe_context, uint8_t protocol, uint16_t port)
{
	return td_check_was_led(context, protocol, port);
}
