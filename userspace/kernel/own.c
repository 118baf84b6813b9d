// SPDX-License-Identifier: GPL-2.0-only
/*
 * The programs that lead this host's own connections to its VIPs, on the root of the
 * cgroup tree. What leads them can be taken off alone: the connections that were led
 * go on to be told the VIP, and to be given back at their end.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/private.h"
#include "own.skel.h"

const unsigned char *td_own_bytes(size_t *ret_n)
{
	return own__elf_bytes(ret_n);
}

void td_own_forget(struct td_kernel *k)
{
	td_hooks_forget(k, TD_HOOKS_own);
	td_hooks_forget(k, TD_HOOKS_led);
}

static int put_all(struct td_kernel *k, struct own *o, struct td_error *error)
{
	const struct {
		enum td_hook hook;
		struct bpf_program *program;
		enum bpf_attach_type type;
	} hooks[] = {
		/* What gives back first, what takes last. */
		{TD_HOOK_link_own_end, o->progs.own_release, BPF_CGROUP_INET_SOCK_RELEASE},
		{TD_HOOK_link_own_name4, o->progs.own_name4, BPF_CGROUP_INET4_GETPEERNAME},
		{TD_HOOK_link_own_name6, o->progs.own_name6, BPF_CGROUP_INET6_GETPEERNAME},
		{TD_HOOK_link_own_up, o->progs.own_established, BPF_CGROUP_SOCK_OPS},
		{TD_HOOK_link_own4, o->progs.own_connect4, BPF_CGROUP_INET4_CONNECT},
		{TD_HOOK_link_own6, o->progs.own_connect6, BPF_CGROUP_INET6_CONNECT},
	};
	_cleanup_close_ int cgroup = td_cgroup_root(error);
	int r = cgroup < 0 ? cgroup : 0;

	for (size_t i = 0; r == 0 && i < TD_ARRAY_SIZE(hooks); i++)
		r = td_hook_attach(k, hooks[i].hook, bpf_program__fd(hooks[i].program), cgroup,
				   hooks[i].type, "this host's own connections", error);
	return r;
}

static int load_and_put(struct td_kernel *k, struct td_error *error)
{
	struct own *o = own__open();
	uint64_t cookie;
	int r;

	if (!o)
		return td_fail(error, errno,
			       "cannot read tundish's BPF object for own connections: %s",
			       strerror(errno));
	r = td_kernel_netns_cookie(-1, &cookie);
	if (r < 0) {
		own__destroy(o);
		return td_fail(error, -r, "cannot tell this network namespace: %s", strerror(-r));
	}
	o->rodata->netns_cookie = cookie;
	r = td_hooks_load(k, o->obj, error);
	if (r == 0)
		r = put_all(k, o, error);
	own__destroy(o);
	return r;
}

int td_kernel_own_open(struct td_kernel *k, struct td_error *error)
{
	bool led = td_hooks_adopt(k, TD_HOOKS_led), own = td_hooks_adopt(k, TD_HOOKS_own);

	td_kernel_prints();
	return led && own ? 0 : load_and_put(k, error);
}

void td_kernel_own_close(struct td_kernel *k)
{
	td_hooks_adopt(k, TD_HOOKS_own);
	td_hooks_drop(k, TD_HOOKS_own);
	td_hooks_forget(k, TD_HOOKS_own);
}
