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

/* The backend's own address in place of the VIP's, until packets can be led. */
static int put_own(const struct td_check *c, struct sockaddr_storage *to)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
	bool is_v4 = tundish_addr_is_v4(&c->own);

	if (is_v4 != (to->ss_family == AF_INET))
		return -EAFNOSUPPORT;
	if (is_v4)
		v4->sin_addr.s_addr = c->own.word[3];
	else
		memcpy(&v6->sin6_addr, &c->own, sizeof(v6->sin6_addr));
	return 0;
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
	return td_check_is_led(c->delivery) && !c->local ? put_own(c, to) : 0;
}

bool td_check_closed(void *context, void *probe_context, uint8_t protocol, uint16_t port)
{
	return true;
}
