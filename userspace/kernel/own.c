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
	td_hooks_forget(k, TD_HOOKS_own_udp);
	td_hooks_forget(k, TD_HOOKS_led_udp);
}

/* Of the programs for datagrams those that lead them, and those that tell of answers. */
struct datagrams {
	bool sent, heard;
};

static int put_all(struct td_kernel *k, struct own *o, struct datagrams udp, struct td_error *error)
{
	const struct {
		enum td_hook hook;
		struct bpf_program *program;
		enum bpf_attach_type type;
		bool wanted;
	} hooks[] = {
		/* What gives back first, what takes last. */
		{TD_HOOK_link_own_end, o->progs.own_release, BPF_CGROUP_INET_SOCK_RELEASE, true},
		{TD_HOOK_link_own_name4, o->progs.own_name4, BPF_CGROUP_INET4_GETPEERNAME, true},
		{TD_HOOK_link_own_name6, o->progs.own_name6, BPF_CGROUP_INET6_GETPEERNAME, true},
		{TD_HOOK_link_own_up, o->progs.own_established, BPF_CGROUP_SOCK_OPS, true},
		{TD_HOOK_link_own_recv4, o->progs.own_recv4, BPF_CGROUP_UDP4_RECVMSG, udp.heard},
		{TD_HOOK_link_own_recv6, o->progs.own_recv6, BPF_CGROUP_UDP6_RECVMSG, udp.heard},
		{TD_HOOK_link_own4, o->progs.own_connect4, BPF_CGROUP_INET4_CONNECT, true},
		{TD_HOOK_link_own6, o->progs.own_connect6, BPF_CGROUP_INET6_CONNECT, true},
		{TD_HOOK_link_own_send4, o->progs.own_send4, BPF_CGROUP_UDP4_SENDMSG, udp.sent},
		{TD_HOOK_link_own_send6, o->progs.own_send6, BPF_CGROUP_UDP6_SENDMSG, udp.sent},
	};
	_cleanup_close_ int cgroup = td_cgroup_root(error);
	int r = cgroup < 0 ? cgroup : 0;

	for (size_t i = 0; r == 0 && i < TD_ARRAY_SIZE(hooks); i++)
		if (hooks[i].wanted)
			r = td_hook_attach(k, hooks[i].hook, bpf_program__fd(hooks[i].program),
					   cgroup, hooks[i].type, "this host's own connections",
					   error);
	return r;
}

static int load_and_put(struct td_kernel *k, struct datagrams udp, struct td_error *error)
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
	if (udp.heard)
		bpf_map__set_max_entries(o->maps.own_peers, TUNDISH_OWN_PEERS_MAX);
	r = td_hooks_load(k, o->obj, error);
	if (r == 0)
		r = put_all(k, o, udp, error);
	own__destroy(o);
	return r;
}

static void drop(struct td_kernel *k, enum td_hook_object object)
{
	td_hooks_adopt(k, object);
	td_hooks_drop(k, object);
	td_hooks_forget(k, object);
}

int td_kernel_own_open(struct td_kernel *k, bool udp, struct td_error *error)
{
	bool led = td_hooks_adopt(k, TD_HOOKS_led), own = td_hooks_adopt(k, TD_HOOKS_own);
	bool heard = td_hooks_adopt(k, TD_HOOKS_led_udp),
	     sent = td_hooks_adopt(k, TD_HOOKS_own_udp);
	/* Who sent something before goes on to be told the VIP. */
	struct datagrams wanted = {udp, udp || k->hook_fd[TD_HOOK_link_own_recv4] >= 0};

	td_kernel_prints();
	if (!udp)
		drop(k, TD_HOOKS_own_udp);
	return led && own && sent >= wanted.sent && heard >= wanted.heard
		       ? 0
		       : load_and_put(k, wanted, error);
}

void td_kernel_own_close(struct td_kernel *k)
{
	drop(k, TD_HOOKS_own);
	drop(k, TD_HOOKS_own_udp);
}
