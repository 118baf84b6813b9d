// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asking the tracing twin: the text of the attached program over the same maps,
 * compiled without anything that writes but its answer. It is run on one frame
 * by BPF_PROG_TEST_RUN and never attached.
 */
#include <linux/bpf.h>

#include <bpf/bpf.h>

#include "kernel/private.h"

static int run(int fd, const void *frame, size_t length, unsigned int ifindex, uint32_t *ret_action)
{
	struct xdp_md context = {.data_end = (uint32_t)length, .ingress_ifindex = ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)length,
		    .ctx_in = &context, .ctx_size_in = sizeof(context), .repeat = 1);

	if (!ifindex) {
		opts.ctx_in = NULL;
		opts.ctx_size_in = 0;
	}
	if (bpf_prog_test_run_opts(fd, &opts) < 0)
		return -errno;
	*ret_action = opts.retval;
	return 0;
}

int td_kernel_trace(struct td_kernel *k, const void *frame, size_t length, unsigned int ifindex,
		    struct tundish_trace *ret, struct td_error *error)
{
	int fd = k->map_fd[TD_MAP_trace];
	struct tundish_trace t = {0};
	uint32_t zero = 0, action;
	int r;

	td_kernel_prints();
	if (bpf_map_update_elem(fd, &zero, &t, BPF_ANY) < 0)
		return td_fail(error, errno, "cannot clear the map trace: %s", strerror(errno));
	r = run(k->trace_fd, frame, length, ifindex, &action);
	/* The kernel takes an interface only where its receive queue is registered
	 * with XDP, which depends on the driver: without it the answer is the same
	 * but for what depends on the interface. */
	if (r < 0 && ifindex)
		r = run(k->trace_fd, frame, length, 0, &action);
	if (r < 0)
		return td_fail(
			error, -r,
			"the kernel does not run the tracing program on a frame of %zu bytes: %s",
			length, strerror(-r));
	if (bpf_map_lookup_elem(fd, &zero, &t) < 0)
		return td_fail(error, errno, "cannot read the map trace: %s", strerror(errno));
	t.action = action;
	if (t.n_steps > TUNDISH_TRACE_STEPS_MAX)
		t.n_steps = TUNDISH_TRACE_STEPS_MAX;
	*ret = t;
	return 0;
}
