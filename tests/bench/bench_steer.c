// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a new connection costs in the steering program, for workers.sh.
 *
 *   steer LINK ADDRESS PORT VIPS RUNS EACH
 *
 * LINK is the pinned link of the attached sk_lookup program. It is run by hand on SYNs to
 * VIPS addresses from ADDRESS on, in turn and EACH times one after another, in the network namespace of
 * the caller. Prints the nanoseconds of one run, the fastest of several rounds, and how many
 * different listeners were chosen.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <bpf/bpf.h>

#include "bench.h"

#define ROUNDS	    5
#define CHOICES_MAX 256u

static uint64_t choices[CHOICES_MAX];
static uint32_t n_choices;

static void note(uint64_t cookie)
{
	for (uint32_t i = 0; i < n_choices; i++)
		if (choices[i] == cookie)
			return;
	if (cookie && n_choices < CHOICES_MAX)
		choices[n_choices++] = cookie;
}

static int program_of(const char *path)
{
	struct bpf_link_info info = {};
	uint32_t size = sizeof(info);
	int link = bpf_obj_get(path), fd;

	if (link < 0 || bpf_obj_get_info_by_fd(link, &info, &size) < 0)
		die("no link %s: %s", path, strerror(errno));
	fd = bpf_prog_get_fd_by_id(info.prog_id);
	if (fd < 0)
		die("no program %u: %s", info.prog_id, strerror(errno));
	close(link);
	return fd;
}

/* Runs of one SYN; returns ns of each. */
static double run(int program, const struct sockaddr_storage *to, uint32_t i, uint32_t times)
{
	struct bpf_sk_lookup ctx = {.protocol = IPPROTO_TCP};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx),
		    .ctx_out = &ctx, .ctx_size_out = sizeof(ctx), .repeat = (int)times);
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)to;
	const struct sockaddr_in *four = (const struct sockaddr_in *)to;

	ctx.family = to->ss_family;
	ctx.remote_port = htons((uint16_t)(20000 + i % 40000));
	ctx.local_port = ntohs(four->sin_port);
	if (to->ss_family == AF_INET) {
		ctx.remote_ip4 = htonl(0x0a000097);
		ctx.local_ip4 = htonl(ntohl(four->sin_addr.s_addr) + i);
	} else {
		memcpy(ctx.local_ip6, &six->sin6_addr, sizeof(ctx.local_ip6));
		ctx.local_ip6[3] = htonl(ntohl(ctx.local_ip6[3]) + i);
		ctx.remote_ip6[0] = htonl(0xfd000000);
		ctx.remote_ip6[3] = htonl(0x151);
	}
	if (bpf_prog_test_run_opts(program, &opts) < 0)
		die("cannot run the program: %s", strerror(errno));
	if (opts.retval != SK_PASS || !ctx.cookie)
		die("it chose no listener");
	note(ctx.cookie);
	return opts.duration;
}

int main(int argc, char **argv)
{
	struct sockaddr_storage to = {};
	uint32_t vips, runs, each;
	double best = 0;
	int program;

	if (argc != 7)
		die("usage: steer LINK ADDRESS PORT VIPS RUNS EACH");
	to.ss_family = strchr(argv[2], ':') ? AF_INET6 : AF_INET;
	if (inet_pton(to.ss_family, argv[2],
		      to.ss_family == AF_INET
			      ? (void *)&((struct sockaddr_in *)&to)->sin_addr
			      : (void *)&((struct sockaddr_in6 *)&to)->sin6_addr) != 1)
		die("\"%s\" is no address", argv[2]);
	((struct sockaddr_in *)&to)->sin_port = htons((uint16_t)atoi(argv[3]));
	vips = (uint32_t)atoi(argv[4]);
	runs = (uint32_t)atoi(argv[5]);
	each = (uint32_t)atoi(argv[6]);
	if (!vips || !each || runs < vips * each)
		die("each VIP has to be run at least once");
	program = program_of(argv[1]);
	pin_cpu();
	for (int round = 0; round < ROUNDS; round++) {
		double sum = 0;
		uint32_t n = 0;

		for (uint32_t i = 0; n * each < runs; i++, n++)
			sum += run(program, &to, i % vips, each);
		best = !round || sum / n < best ? sum / n : best;
	}
	printf("%.1f %u\n", best, n_choices);
	return 0;
}
