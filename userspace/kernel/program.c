// SPDX-License-Identifier: GPL-2.0-only
/*
 * The program that is attached, as this process holds it: opened for libxdp,
 * which loads it as a part of its dispatcher or as a program of its own, and
 * kept in the latter form for further interfaces. Nothing is loaded before the
 * first interface needs it.
 */
#include <fcntl.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <xdp/libxdp.h>

#include "kernel/private.h"
#include "kernel/work.h"

#define PROGRAM "tundish_xdp"

void td_program_close(struct td_kernel *k)
{
	if (k->program)
		xdp_program__close(k->program);
	k->program = NULL;
	k->object = td_object_close(k->object);
}

int td_program_open(struct td_kernel *k, struct td_error *error)
{
	struct xdp_program *p;
	LIBBPF_OPTS(xdp_program_opts, opts, .prog_name = PROGRAM);
	int r;

	if (k->program)
		return 0;
	r = td_object_open(&k->settings, k->map_fd, true, &k->object, error);
	if (r < 0)
		return r;
	opts.obj = td_object_bpf(k->object);
	p = xdp_program__create(&opts);
	if (libxdp_get_error(p)) {
		r = (int)libxdp_get_error(p);
		td_program_close(k);
		return td_fail(error, r < 0 ? -r : EINVAL,
			       "libxdp does not take tundish's BPF object: %s", strerror(-r));
	}
	k->program = p;
	return 0;
}

bool td_program_loaded(const struct td_kernel *k)
{
	return k->object && bpf_program__fd(td_object_xdp(k->object)) >= 0;
}

int td_program_attach(struct td_kernel *k, const char *name, unsigned int ifindex, bool native)
{
	bool loads = !td_program_loaded(k);
	int r;

	if (loads)
		td_work_begin("verifying " PROGRAM " for %s", name);
	r = xdp_program__attach(k->program, (int)ifindex, native ? XDP_MODE_NATIVE : XDP_MODE_SKB,
				0);
	if (loads)
		td_work_end(td_work_instructions(td_object_bpf(k->object)));
	return r;
}

bool td_program_may_look(void)
{
	uint32_t id;

	return bpf_prog_get_next_id(0, &id) == 0 || errno != EPERM;
}

/* Keeps a program that was loaded as one of its own, for the next interfaces and
 * the next daemon. */
void td_program_keep_alone(struct td_kernel *k)
{
	uint64_t loaded_ns;

	if (k->alone_fd >= 0 || !td_program_loaded(k) ||
	    bpf_program__type(td_object_xdp(k->object)) != BPF_PROG_TYPE_XDP)
		return;
	k->alone_fd = fcntl(bpf_program__fd(td_object_xdp(k->object)), F_DUPFD_CLOEXEC, 3);
	if (k->alone_fd < 0)
		return;
	if (td_program_info(k->alone_fd, &k->alone_id, &loaded_ns) < 0)
		k->alone_id = 0;
	/* For want of privilege libxdp does without its dispatcher too; that says
	 * nothing about the kernel, so the next daemon shall ask again. Without the
	 * pin it loads the program again: no harm. But where one was pinned before, which
	 * this one is to replace, the kernel has said it then; and a daemon that may not
	 * look knows what is attached by the pin alone. */
	if (td_program_may_look() || k->former_fd >= 0)
		td_pins_put(k->pin_dir, TD_PIN_XDP, k->alone_fd);
}

/* Loads the program as one of its own, without libxdp: to take an older one's
 * place, and where libxdp failed. */
int td_program_load_alone(struct td_kernel *k, struct td_error *error)
{
	int r;

	if (k->alone_fd >= 0)
		return 0;
	td_program_close(k);
	r = td_object_open(&k->settings, k->map_fd, true, &k->object, error);
	if (r < 0)
		return r;
	r = td_object_load(k->object, error);
	if (r == 0) {
		td_program_keep_alone(k);
		if (k->alone_fd < 0)
			r = td_fail(error, EMFILE, "no descriptor left for the program");
	}
	td_program_close(k);
	return r;
}
