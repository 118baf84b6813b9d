// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pin directory. One process at a time works on it: the lock is flock(2) on
 * the directory itself, so it ends with its holder and leaves nothing behind.
 *
 * `settings` is pinned last and removed first: a directory with other maps of
 * ours but without it is a creation or a removal that was cut short. A pin is
 * replaced by rename(2), so there is no moment without it. Names with a dot are
 * refused by bpffs, hence "_new".
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <bpf/bpf.h>

#include "kernel/private.h"

#define BPFFS_DEFAULT "/sys/fs/bpf"
#define NEW	      "_new"
#define ENTRIES_MAX   256 /* a directory with more of them is none of ours */

const char *const td_map_names[TD_MAP_COUNT] = {
#define TUNDISH_X(name) #name,
	TUNDISH_MAPS(TUNDISH_X)
#undef TUNDISH_X
};

const struct td_hook_info td_hooks[TD_HOOK_COUNT] = {
#define TUNDISH_X(object, name, kind) {#name, kind, TD_HOOKS_##object},
	TD_HOOKS(TUNDISH_X)
#undef TUNDISH_X
};

void (*td_kernel_step_hook)(const char *step);

static int pin_path(const char *dir, const char *name, const char *suffix, char ret[PATH_MAX])
{
	int n = snprintf(ret, PATH_MAX, "%s/%s%s", dir, name, suffix);

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* ---- the filesystem ---------------------------------------------------------- */

static bool is_bpffs(const char *path)
{
	struct statfs s;

	return statfs(path, &s) == 0 && (unsigned long)s.f_type == BPF_FS_MAGIC;
}

static bool is_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return !strncmp(path, top, n) && (path[n] == '/' || !path[n]);
}

static int mount_default(struct td_error *error)
{
	if (mount("bpf", BPFFS_DEFAULT, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") == 0)
		return 0;
	return td_fail(error, errno,
		       "cannot mount the bpf filesystem on " BPFFS_DEFAULT ": %s; mount it with "
		       "\"mount -t bpf bpf " BPFFS_DEFAULT "\", or run as root",
		       strerror(errno));
}

int td_pins_check_bpffs(const char *dir, unsigned int flags, struct td_error *error)
{
	char path[PATH_MAX];
	struct stat st;

	if (dir[0] != '/' || strlen(dir) >= sizeof(path) - 64)
		return td_fail(
			error, EINVAL,
			"the pin directory \"%.200s\" must be an absolute path on a bpf filesystem",
			dir);
	if ((flags & TD_KERNEL_MOUNT_BPFFS) && is_below(dir, BPFFS_DEFAULT) &&
	    !is_bpffs(BPFFS_DEFAULT)) {
		int r = mount_default(error);

		if (r < 0)
			return r;
	}

	if (stat(dir, &st) == 0 && !S_ISDIR(st.st_mode))
		return td_fail(
			error, ENOTDIR,
			"the pin directory %s is not a directory; give another one with --pin",
			dir);

	/* The nearest ancestor that exists tells the filesystem. */
	snprintf(path, sizeof(path), "%s", dir);
	while (access(path, F_OK) < 0 && strlen(path) > 1) {
		char *slash = strrchr(path, '/');

		slash[slash == path] = '\0';
	}
	if (!is_bpffs(path))
		return td_fail(
			error, EINVAL,
			"the pin directory %s is not on a bpf filesystem; mount one with \"mount -t "
			"bpf bpf " BPFFS_DEFAULT "\", or give a directory below one with --pin",
			dir);
	return 0;
}

/* Makes the directory and those above it that are missing. */
static int make_directory(const char *dir)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", dir);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	if (mkdir(path, 0700) < 0)
		return -errno;
	td_kernel_step("directory made");
	return 0;
}

/* ---- the lock ----------------------------------------------------------------- */

static int lock_failed(const char *dir, int code, struct td_error *error)
{
	switch (code) {
	case ENOENT: return td_fail(error, ENOENT, "nothing is pinned in %s", dir);
	case ENOTDIR:
		return td_fail(
			error, ENOTDIR,
			"the pin directory %s is not a directory; give another one with --pin",
			dir);
	case EWOULDBLOCK:
		return td_fail(
			error, EBUSY,
			"another tundishd holds the pin directory %s; stop it, or give this one a "
			"directory of its own with --pin",
			dir);
	case EACCES:
	case EPERM:
		return td_fail(error, EPERM, "no permission for the pin directory %s; run as root",
			       dir);
	}
	return td_fail(error, code, "cannot open the pin directory %s: %s", dir, strerror(code));
}

int td_pins_lock(const char *dir, int *ret_fd, bool *ret_made, struct td_error *error)
{
	/* The directory may be removed by an unload between open and flock: then
	 * the lock is on a directory that nobody can find, so try again. */
	for (int attempt = 0; attempt < 8; attempt++) {
		_cleanup_close_ int fd = -1;
		struct stat held, there;
		bool made = false;
		int r;

		if (ret_made) {
			r = make_directory(dir);
			if (r < 0 && r != -EEXIST)
				return lock_failed(dir, -r, error);
			made = r == 0;
		}
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0) {
			if (errno == ENOENT && ret_made)
				continue;
			return lock_failed(dir, errno, error);
		}
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			return lock_failed(dir, errno, error);
		if (fstat(fd, &held) < 0 || stat(dir, &there) < 0 || held.st_ino != there.st_ino ||
		    held.st_dev != there.st_dev)
			continue;
		*ret_fd = TD_TAKE_FD(fd);
		if (ret_made)
			*ret_made = made;
		return 0;
	}
	return lock_failed(dir, EWOULDBLOCK, error);
}

/* ---- what lies there ----------------------------------------------------------- */

void td_bpf_kind(int fd, char *buffer, size_t size)
{
	static const char prefix[] = "anon_inode:";
	char link[32], target[64];
	ssize_t n;

	buffer[0] = '\0';
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	if (n < 0)
		return;
	target[n] = '\0';
	if (!strncmp(target, prefix, sizeof(prefix) - 1))
		snprintf(buffer, size, "%s", target + sizeof(prefix) - 1);
	if (!strcmp(buffer, "bpf_link")) /* fresh; "bpf-link" once it is opened from a pin */
		buffer[3] = '-';
}

void td_pins_done(struct td_pins *p)
{
	for (size_t i = 0; i < TD_MAP_COUNT; i++)
		td_closep(&p->map_fd[i]);
	for (size_t i = 0; i < TD_HOOK_COUNT; i++)
		td_closep(&p->hook_fd[i]);
	td_closep(&p->trace_fd);
	td_closep(&p->xdp_fd);
}

static void pins_init(struct td_pins *p)
{
	*p = (struct td_pins){.trace_fd = -1, .xdp_fd = -1};
	for (size_t i = 0; i < TD_MAP_COUNT; i++)
		p->map_fd[i] = -1;
	for (size_t i = 0; i < TD_HOOK_COUNT; i++)
		p->hook_fd[i] = -1;
}

/* The place in `p` for a pin of this name; NULL: no name of ours. */
static int *pin_place(struct td_pins *p, const char *name, const char **ret_kind)
{
	*ret_kind = "bpf-map";
	for (size_t i = 0; i < TD_MAP_COUNT; i++)
		if (!strcmp(name, td_map_names[i]))
			return &p->map_fd[i];
	for (size_t i = 0; i < TD_HOOK_COUNT; i++) {
		*ret_kind = td_hooks[i].kind;
		if (!strcmp(name, td_hooks[i].name))
			return &p->hook_fd[i];
	}
	*ret_kind = "bpf-prog";
	if (!strcmp(name, TD_PIN_TRACE))
		return &p->trace_fd;
	if (!strcmp(name, TD_PIN_XDP))
		return &p->xdp_fd;
	return NULL;
}

/* What td_pins_put leaves where it is cut short. */
static bool is_half_replaced(const char *name)
{
	size_t n = strlen(name), suffix = sizeof(NEW) - 1;

	if (n <= suffix || strcmp(name + n - suffix, NEW))
		return false;
	n -= suffix;
	for (size_t i = 0; i < TD_HOOK_COUNT; i++)
		if (strlen(td_hooks[i].name) == n && !memcmp(name, td_hooks[i].name, n))
			return true;
	for (enum td_map m = 0; m < TD_MAP_COUNT; m++) /* by a migration */
		if (strlen(td_map_names[m]) == n && !memcmp(name, td_map_names[m], n))
			return true;
	return !strcmp(name, TD_PIN_TRACE NEW) || !strcmp(name, TD_PIN_XDP NEW);
}

static int read_pin(const char *dir, const char *name, struct td_pins *p, struct td_error *error)
{
	char path[PATH_MAX], kind[32];
	const char *expected;
	int *place, fd, r;

	p->n++;
	if (is_half_replaced(name) || td_egress_pin(name)) /* opened when egress is */
		return 0;
	place = pin_place(p, name, &expected);
	if (!place) {
		snprintf(p->foreign, sizeof(p->foreign), "%s", name);
		return 0;
	}
	r = pin_path(dir, name, "", path);
	if (r < 0)
		return td_fail(error, -r, "the path of the pin directory %.300s is too long", dir);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return td_fail(error, errno == EACCES ? EPERM : errno,
			       "cannot open the pin %s: %s; run as root", path, strerror(errno));
	td_bpf_kind(fd, kind, sizeof(kind));
	if (strcmp(kind, expected)) {
		snprintf(p->foreign, sizeof(p->foreign), "%s", name);
		close(fd);
		return 0;
	}
	*place = fd;
	return 0;
}

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* Calls `each` for every pin; directories are somebody else's pin directories. */
static int for_each_pin(const char *dir,
			int (*each)(const char *dir, const char *name, void *context),
			void *context)
{
	_cleanup_(closedirp) DIR *d = opendir(dir);
	struct dirent *e;

	if (!d)
		return -errno;
	for (size_t n = 0; (errno = 0, e = readdir(d)); n++) {
		int r;

		if (n >= ENTRIES_MAX)
			return -E2BIG;
		if (e->d_type == DT_DIR || !strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		r = each(dir, e->d_name, context);
		if (r < 0)
			return r;
	}
	return -errno;
}

struct read_context {
	struct td_pins *pins;
	struct td_error *error;
};

static int read_each(const char *dir, const char *name, void *context)
{
	struct read_context *c = context;

	return read_pin(dir, name, c->pins, c->error);
}

int td_pins_read(const char *dir, struct td_pins *ret, struct td_error *error)
{
	struct td_error inner = {0};
	struct td_pins p;
	struct read_context c = {&p, &inner};
	int r;

	pins_init(&p);
	r = for_each_pin(dir, read_each, &c);
	if (r < 0) {
		td_pins_done(&p);
		return td_fail(error, -r, "%s%.400s%s",
			       inner.text[0] ? "" : "cannot read the pin directory ",
			       inner.text[0] ? inner.text : dir,
			       inner.text[0] ? "" : "; give another one with --pin");
	}
	*ret = p;
	return 0;
}

size_t td_pins_map_ids(const struct td_pins *p, uint32_t ret[TD_MAP_COUNT])
{
	size_t n = 0;

	for (size_t i = 0; i < TD_MAP_COUNT; i++) {
		struct bpf_map_info info = {0};
		uint32_t length = sizeof(info);

		if (p->map_fd[i] >= 0 && bpf_obj_get_info_by_fd(p->map_fd[i], &info, &length) == 0)
			ret[n++] = info.id;
	}
	return n;
}

/* ---- changing ------------------------------------------------------------------ */

int td_pins_put(const char *dir, const char *name, int fd)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	int r;

	r = pin_path(dir, name, "", path);
	if (r < 0)
		return r;
	if (bpf_obj_pin(fd, path) == 0) {
		td_kernel_step(name);
		return 0;
	}
	if (errno != EEXIST)
		return -errno;

	r = pin_path(dir, name, NEW, fresh);
	if (r < 0)
		return r;
	if (unlink(fresh) < 0 && errno != ENOENT)
		return -errno;
	if (bpf_obj_pin(fd, fresh) < 0)
		return -errno;
	td_kernel_step("new pin beside the old");
	if (rename(fresh, path) < 0) {
		r = -errno;
		unlink(fresh);
		return r;
	}
	td_kernel_step(name);
	return 0;
}

int td_pins_get(const char *dir, const char *name)
{
	char path[PATH_MAX];
	int r = pin_path(dir, name, "", path), fd;

	if (r < 0)
		return r;
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

int td_pins_drop(const char *dir, const char *name)
{
	char path[PATH_MAX];
	int r = pin_path(dir, name, "", path);

	if (r < 0)
		return r;
	if (unlink(path) < 0)
		return errno == ENOENT ? 0 : -errno;
	td_kernel_step("pin removed");
	return 0;
}

struct remove_context {
	bool every;
	char failed[256];
};

static int remove_each(const char *dir, const char *name, void *context)
{
	struct remove_context *c = context;
	struct td_pins none;
	char path[PATH_MAX];
	const char *kind;
	int r;

	if (!c->every && !is_half_replaced(name) && !td_egress_pin(name) &&
	    !pin_place(&none, name, &kind))
		return 0;
	r = pin_path(dir, name, "", path);
	if (r < 0)
		return r;
	if (unlink(path) < 0) {
		if (errno == ENOENT)
			return 0;
		snprintf(c->failed, sizeof(c->failed), "%s", name);
		return -errno;
	}
	td_kernel_step("pin removed");
	return 0;
}

int td_pins_remove(const char *dir, bool every, struct td_error *error)
{
	struct remove_context c = {.every = every};
	int r;

	r = remove_each(dir, td_map_names[TD_MAP_settings], &c);
	if (r == 0)
		r = for_each_pin(dir, remove_each, &c);
	if (r < 0)
		return td_fail(error, -r, "cannot remove the pin %s/%s: %s; remove it by hand", dir,
			       c.failed, strerror(-r));
	return 0;
}
