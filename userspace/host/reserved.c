// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel takes one list as text, which replaces the former one. Between our look and
 * our write another program may have written; there is no way to exclude that, and the
 * moment is short.
 */
#include <fcntl.h>

#include "host/reserved.h"

#define FILE_NAME "/proc/sys/net/ipv4/ip_local_reserved_ports"
#define TEXT_MAX  4096 /* what the kernel takes in one piece */

static bool get(const uint64_t *bits, unsigned int port)
{
	return bits[port / 64] >> (port % 64) & 1;
}

int td_reserved_print(const uint64_t bits[TD_NETNS_PORT_WORDS], char *buffer, size_t size)
{
	size_t used = 0;

	buffer[0] = '\0';
	for (unsigned int port = 0, last; port < 65536; port = last + 1) {
		int n;

		last = port;
		if (!get(bits, port))
			continue;
		while (last < 65535 && get(bits, last + 1))
			last++;
		n = snprintf(buffer + used, size - used, last > port ? "%s%u-%u" : "%s%u",
			     used ? "," : "", port, last);
		if (n < 0 || (size_t)n >= size - used) {
			buffer[0] = '\0';
			return -ENOSPC;
		}
		used += (size_t)n;
	}
	return 0;
}

int td_host_reserve(const uint64_t add[TD_NETNS_PORT_WORDS],
		    const uint64_t take_away[TD_NETNS_PORT_WORDS], bool *ret_changed,
		    struct td_error *error)
{
	uint64_t wanted[TD_NETNS_PORT_WORDS];
	struct td_netns_facts facts;
	_cleanup_close_ int fd = -1;
	char text[TEXT_MAX];
	int r;

	r = td_host_netns_read(-1, &facts, error);
	if (r < 0)
		return r;
	for (size_t i = 0; i < TD_NETNS_PORT_WORDS; i++)
		wanted[i] = (facts.reserved[i] & ~take_away[i]) | add[i];
	if (ret_changed)
		*ret_changed = memcmp(wanted, facts.reserved, sizeof(wanted)) != 0;
	if (!memcmp(wanted, facts.reserved, sizeof(wanted)))
		return 0;
	r = td_reserved_print(wanted, text, sizeof(text) - 1);
	if (r < 0)
		return td_fail(error, -r,
			       "net.ipv4.ip_local_reserved_ports would become longer than the "
			       "kernel takes; reserve fewer ranges");
	strcat(text, "\n");
	fd = open(FILE_NAME, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
		r = errno;
		return td_fail(error, r, "cannot write net.ipv4.ip_local_reserved_ports: %s",
			       strerror(r));
	}
	return 0;
}
