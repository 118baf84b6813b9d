// SPDX-License-Identifier: GPL-2.0-only
/*
 * Onto interfaces, and off them.
 *
 * libxdp is asked first: where the kernel allows freplace it puts the program
 * into its dispatcher, beside those of others; where not (a hardened kernel, no
 * bpffs at its place), it attaches it alone. That is an answer of the kernel,
 * not of the interface, so once given it holds for this build: the program that
 * was loaded alone is kept and attached to further interfaces as it is, which
 * takes no load and less privilege.
 *
 * An older build of ours gives way without a gap: alone by the kernel's
 * compare-and-replace; in the dispatcher the new one comes first and the old
 * one goes then (for a moment a SYN that both see is counted twice).
 *
 * What is reported is read back from the kernel afterwards.
 */
#include <linux/if_link.h>

#include <bpf/libbpf.h>
#include <xdp/libxdp.h>

#include "kernel/private.h"

/* ---- what an interface carries -------------------------------------------------- */

/* After privileges have been dropped a program cannot be looked at any more; the
 * one that this process holds, or that is pinned, is known by its id. */
static int carried(struct td_kernel *k, unsigned int ifindex, struct td_carried *ret)
{
	int r = td_carried_read(ifindex, k->map_id, TD_MAP_COUNT, ret);

	if (r < 0)
		return r;
	if (ret->unreadable && k->alone_fd >= 0 && ret->main_id == k->alone_id) {
		ret->our_id = k->alone_id;
		ret->our_load_time = k->built_ns;
		ret->our_fd = dup(k->alone_fd);
	} else if (ret->unreadable && k->former_fd >= 0 && ret->main_id == k->former_id) {
		ret->our_id = k->former_id;
		ret->our_load_time = k->former_ns;
		ret->our_fd = dup(k->former_fd);
	}
	return 0;
}

static bool is_current(const struct td_kernel *k, const struct td_carried *c)
{
	return c->our_id && c->our_load_time >= k->built_ns;
}

static bool mode_suits(enum td_attach wanted, enum td_attach_mode mode)
{
	switch (wanted) {
	case TD_ATTACH_AUTO: return true;
	case TD_ATTACH_NATIVE: return mode == TD_MODE_NATIVE || mode == TD_MODE_OFFLOAD;
	case TD_ATTACH_GENERIC: return mode == TD_MODE_GENERIC;
	}
	return false;
}

/* ---- attaching --------------------------------------------------------------------- */

static int attach_alone(struct td_kernel *k, unsigned int ifindex, enum td_attach_mode mode,
			int old_fd)
{
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts, .old_prog_fd = old_fd);
	uint32_t flags = td_mode_flags(mode);
	int r;

	td_kernel_forget_reason();
	if (old_fd < 0)
		flags |= XDP_FLAGS_UPDATE_IF_NOEXIST;
	r = bpf_xdp_attach((int)ifindex, k->alone_fd, flags, old_fd < 0 ? NULL : &opts);
	if (r == 0)
		td_kernel_step("attached");
	return r;
}

/* Kernels from 6.12 on refuse to put a program that changes packets in the place of
 * a function that could not: the dispatcher of libxdp has such since 1.5.5. */
static int beside_failed(const char *name, int code, struct td_error *error)
{
	return td_fail(
		error, code,
		"libxdp cannot add tundish to the XDP programs of others on interface %s: %s; %s, or take them "
		"off with \"ip link set dev %s xdp off\"",
		name, strerror(code),
		!td_program_may_look()
			? "restart tundishd, which has given up the privilege for that"
		: code == EINVAL ? "install libxdp 1.5.5 or later, which newer kernels ask for"
				 : "see what they are with \"xdp-loader status\"",
		name);
}

/*
 * One try in one mode. Returns 0, or the driver's refusal with *ret_driver
 * true, or another failure with its sentence.
 */
static int attach_in_mode(struct td_kernel *k, const char *name, unsigned int ifindex,
			  enum td_attach_mode mode, bool beside_others, bool *ret_driver,
			  struct td_error *error)
{
	int r;

	*ret_driver = false;
	if (k->alone_fd < 0 || beside_others) {
		r = td_program_open(k, error);
		if (r < 0)
			return r;
		td_kernel_forget_reason();
		r = td_program_attach(k, name, ifindex, mode == TD_MODE_NATIVE);
		td_program_keep_alone(k);
		if (r == 0) {
			td_kernel_step("attached");
			return 0;
		}
		if (beside_others) {
			if (!td_program_loaded(k)) /* libbpf does not load an object twice */
				td_program_close(k);
			return beside_failed(name, -r, error);
		}
		/* It is the interface that refused; or, once privileges have been given up,
		 * the kernel, which does not show libxdp its own dispatcher then. */
		if (td_program_loaded(k) && (k->alone_fd >= 0 || td_program_may_look())) {
			*ret_driver = true;
			return r;
		}
		/* Neither way through libxdp: the last resort is to do what it does when it
		 * is told to skip its dispatcher. */
	}
	r = td_program_load_alone(k, error);
	if (r < 0)
		return r;
	r = attach_alone(k, ifindex, mode, -1);
	*ret_driver = r < 0;
	return r;
}

static int attach_failed(const char *name, enum td_attach_mode mode, int code,
			 struct td_error *error)
{
	const char *reason = td_kernel_reason();

	if (!reason[0])
		reason = code == EOPNOTSUPP ? "its driver has no XDP in this mode" : strerror(code);
	switch (code) {
	case EPERM:
		return td_fail(
			error, EPERM,
			"no permission to attach to interface %s; run as root, or with CAP_NET_ADMIN and CAP_BPF",
			name);
	case EBUSY:
	case EEXIST:
		return td_fail(
			error, EBUSY,
			"interface %s carries another XDP program; take it off with \"ip link set dev %s xdp off\"",
			name, name);
	case ENODEV:
		return td_fail(error, ENODEV,
			       "interface %s is gone; correct interfaces: in the configuration",
			       name);
	}
	return td_fail(error, code, "cannot attach to interface %s in %s mode: %s; %s", name,
		       td_mode_name(mode), reason,
		       mode == TD_MODE_NATIVE
			       ? "set attach: generic or auto for it, or mend the reason"
			       : "use another interface");
}

static bool worth_generic(int code)
{
	return code != EPERM && code != EBUSY && code != EEXIST && code != ENODEV && code != ENOMEM;
}

/* Attaches where none of ours is, in the wanted mode; `note` says why not natively. */
static int attach_new(struct td_kernel *k, const struct td_interface_conf *conf,
		      unsigned int ifindex, const struct td_carried *now, char *note,
		      size_t note_size, struct td_error *error)
{
	enum td_attach_mode mode =
		conf->attach == TD_ATTACH_GENERIC ? TD_MODE_GENERIC : TD_MODE_NATIVE;
	bool driver;
	int r;

	if (now->dispatcher) {
		if (!mode_suits(conf->attach, now->mode))
			return td_fail(
				error, EBUSY,
				"interface %s runs XDP programs of others in %s mode; set attach: %s or auto for it",
				conf->name, td_mode_name(now->mode), td_mode_name(now->mode));
		mode = now->mode;
	}
	r = attach_in_mode(k, conf->name, ifindex, mode, now->dispatcher, &driver, error);
	if (r < 0 && driver && conf->attach == TD_ATTACH_AUTO && mode == TD_MODE_NATIVE &&
	    worth_generic(-r)) {
		snprintf(note, note_size, "not native: %s",
			 td_kernel_reason()[0] ? td_kernel_reason()
			 : r == -EOPNOTSUPP    ? "its driver has no native XDP"
					       : strerror(-r));
		mode = TD_MODE_GENERIC;
		r = attach_in_mode(k, conf->name, ifindex, mode, false, &driver, error);
	}
	return r < 0 && driver ? attach_failed(conf->name, mode, -r, error) : r;
}

/* ---- replacing ----------------------------------------------------------------------- */

static int replace_build(struct td_kernel *k, const struct td_interface_conf *conf,
			 unsigned int ifindex, const struct td_carried *now, struct td_error *error)
{
	bool driver;
	int r;

	if (now->dispatcher) {
		_cleanup_(td_carried_done) struct td_carried both = {.our_fd = -1};

		r = attach_in_mode(k, conf->name, ifindex, now->mode, true, &driver, error);
		if (r == 0)
			r = carried(k, ifindex, &both);
		if (r == 0)
			r = td_carried_leave_dispatcher(ifindex, &both, now->our_id);
		if (r < 0 && !error->text[0])
			td_fail(error, -r, "cannot take the former build off interface %s: %s",
				conf->name, strerror(-r));
		return r;
	}
	r = td_program_load_alone(k, error);
	if (r < 0)
		return r;
	r = attach_alone(k, ifindex, now->mode, now->our_fd);
	return r < 0 ? attach_failed(conf->name, now->mode, -r, error) : 0;
}

/* Native and generic cannot stand side by side, so the change has a gap, in which
 * packets pass to the host untouched; where the new mode is refused the former
 * one comes back. */
static int change_mode(struct td_kernel *k, const struct td_interface_conf *conf,
		       unsigned int ifindex, const struct td_carried *now, char *note,
		       size_t note_size, struct td_error *error)
{
	struct td_carried none = {.our_fd = -1};
	bool driver;
	int r;

	if (now->n_others)
		return td_fail(
			error, EBUSY,
			"interface %s runs XDP programs of others in %s mode; set attach: %s or auto for it",
			conf->name, td_mode_name(now->mode), td_mode_name(now->mode));
	if (!now->dispatcher) { /* so that nothing but the driver can refuse then */
		r = td_program_load_alone(k, error);
		if (r < 0)
			return r;
	}
	r = td_carried_detach(ifindex, conf->name, now, error);
	if (r < 0)
		return r;
	r = attach_new(k, conf, ifindex, &none, note, note_size, error);
	if (r < 0)
		attach_in_mode(k, conf->name, ifindex, now->mode, false, &driver, NULL);
	return r;
}

/* ---- entry points ---------------------------------------------------------------------- */

static void report(struct td_attachment *a, const char *name, unsigned int ifindex,
		   const struct td_carried *c, const char *note)
{
	*a = (struct td_attachment){
		.ifindex = ifindex, .mode = c->mode, .dispatcher = c->dispatcher};
	snprintf(a->name, sizeof(a->name), "%s", name);
	snprintf(
		a->note, sizeof(a->note), "%s%s%s", note, note[0] && !c->dispatcher ? "; " : "",
		c->dispatcher
			? ""
			: "alone: without libxdp's dispatcher no XDP program of others can stand beside it");
}

static int bring(struct td_kernel *k, const struct td_interface_conf *conf, unsigned int ifindex,
		 const struct td_carried *now, char *note, size_t note_size, struct td_error *error)
{
	if (now->our_id && !mode_suits(conf->attach, now->mode))
		return change_mode(k, conf, ifindex, now, note, note_size, error);
	if (is_current(k, now)) {
		if (now->older_id)
			td_carried_leave_dispatcher(ifindex, now, now->older_id);
		if (now->mode == TD_MODE_GENERIC && conf->attach == TD_ATTACH_AUTO)
			snprintf(note, note_size, "generic, as it was attached before");
		return 0;
	}
	if (now->our_id)
		return replace_build(k, conf, ifindex, now, error);
	if (now->main_id && !now->dispatcher)
		return td_fail(
			error, EBUSY,
			"interface %s carries another XDP program (%s, id %u) that was not loaded through libxdp; "
			"take it off with \"ip link set dev %s xdp off\", or load it with xdp-loader",
			conf->name, now->name[0] ? now->name : "unnamed", now->main_id, conf->name);
	return attach_new(k, conf, ifindex, now, note, note_size, error);
}

int td_kernel_attach(struct td_kernel *k, const struct td_interface_conf *interface,
		     struct td_attachment *ret, struct td_error *error)
{
	_cleanup_(td_carried_done) struct td_carried now = {.our_fd = -1}, after = {.our_fd = -1};
	unsigned int ifindex = if_nametoindex(interface->name);
	struct td_error local = {0};
	char note[160] = "";
	int r;

	if (!error)
		error = &local;
	error->text[0] = '\0';
	td_kernel_prints();
	if (!ifindex)
		return td_fail(
			error, ENODEV,
			"interface %s does not exist; correct interfaces: in the configuration",
			interface->name);
	r = carried(k, ifindex, &now);
	if (r < 0)
		return td_fail(error, -r, "cannot ask what interface %s carries: %s",
			       interface->name, strerror(-r));
	r = bring(k, interface, ifindex, &now, note, sizeof(note), error);
	if (r < 0)
		return r;

	r = carried(k, ifindex, &after);
	if (r < 0 || !after.our_id)
		return td_fail(
			error, r < 0 ? -r : EIO,
			"interface %s does not carry tundish although attaching succeeded; look with \"ip link "
			"show dev %s\"",
			interface->name, interface->name);
	report(ret, interface->name, ifindex, &after, note);
	ret->fresh = !now.our_id;
	return 0;
}

int td_kernel_detach(struct td_kernel *k, const char *name, struct td_error *error)
{
	_cleanup_(td_carried_done) struct td_carried now = {.our_fd = -1};
	unsigned int ifindex = if_nametoindex(name);

	td_kernel_prints();
	if (!ifindex || carried(k, ifindex, &now) < 0 || !now.our_id)
		return td_fail(error, ENOENT, "tundish is not attached to interface %s", name);
	return td_carried_detach(ifindex, name, &now, error);
}

bool td_kernel_may_replace(struct td_kernel *k)
{
	_cleanup_free_ struct td_attachment *all = NULL;
	size_t n = 0;

	if (td_program_may_look())
		return true;
	if (td_kernel_attachments(k, &all, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (all[i].dispatcher)
			return false;
	return true;
}

int td_kernel_attachments(struct td_kernel *k, struct td_attachment **ret, size_t *ret_n)
{
	_cleanup_free_ struct td_attachment *list = NULL;
	struct if_nameindex *all = if_nameindex();
	size_t n = 0;
	int r = all ? 0 : -errno;

	for (struct if_nameindex *i = all; i && i->if_index && r == 0; i++) {
		_cleanup_(td_carried_done) struct td_carried c = {.our_fd = -1};

		/* An interface may vanish while they are read. */
		if (carried(k, i->if_index, &c) < 0 || !c.our_id)
			continue;
		r = td_grow(&list, n, sizeof(*list));
		if (r == 0)
			report(&list[n++], i->if_name, i->if_index, &c, "");
	}
	if (all)
		if_freenameindex(all);
	if (r < 0)
		return r;
	*ret = TD_TAKE_PTR(list);
	*ret_n = n;
	return 0;
}
