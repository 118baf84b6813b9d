// SPDX-License-Identifier: GPL-2.0-only
/*
 * What to capture, as it is typed, into the masks that the data path compares with. Words are those of
 * tcpdump(8), all of which have to be true: what else tcpdump knows no mask can say.
 */
#include <netinet/in.h>

#include "api/capture.h"
#include "lib/suggest.h"

#define BLANKS " \t"

static const char *const words[] = {"and", "host", "src", "dst", "net",	    "port",   "tcp",
				    "udp", "icmp", "ip",  "ip6", "service", "reason", "interface"};
#define VALID                                                                                       \
	"host A, src A, dst A, net P/L, port N (also src net, dst port), tcp, udp, icmp, ip, ip6, " \
	"service NAME, reason NAME, interface NAME, joined by \"and\""

struct reading {
	char *rest; /* what has not been read yet */
	const struct td_capture_names *names;
	struct td_capture_conf *conf;
	struct td_error *error;
	uint8_t family; /* 4, 6; 0: both */
};

static char *next(struct reading *r)
{
	return strtok_r(NULL, BLANKS, &r->rest);
}

static int no_word(const struct reading *r, const char *word)
{
	struct td_suggest suggest = {.given = word};
	char meant[TD_SUGGEST_TELL_BYTES];

	if (!strcmp(word, "or") || !strcmp(word, "not") || strpbrk(word, "()!|&"))
		return td_fail(
			r->error, EINVAL,
			"FILTER: \"%.32s\" is not possible, all of a filter has to be true; valid: "
			"%s",
			word, VALID);
	for (size_t i = 0; i < TD_ARRAY_SIZE(words); i++)
		td_suggest_add(&suggest, words[i]);
	return td_fail(r->error, EINVAL, "FILTER: \"%.32s\" is no word of it%s; valid: %s", word,
		       td_suggest_tell(&suggest, meant, sizeof(meant)), VALID);
}

/* ---- headers -------------------------------------------------------------------------- */

static int set_family(struct reading *r, uint8_t family)
{
	if (r->family && r->family != family)
		return td_fail(r->error, EINVAL,
			       "FILTER: no packet is of both IPv4 and IPv6; capture one of them");
	r->family = family;
	r->conf->filter.headers = 1;
	return 0;
}

static int set_protocol(const struct reading *r, uint8_t v4, uint8_t v6)
{
	struct tundish_capture *f = &r->conf->filter;

	if (f->protocol[0] && f->protocol[0] != v4)
		return td_fail(
			r->error, EINVAL,
			"FILTER: no packet is of two protocols; give one of tcp, udp and icmp");
	f->protocol[0] = v4;
	f->protocol[1] = v6;
	f->headers = 1;
	return 0;
}

static int add_address(struct reading *r, uint32_t ends, const char *text, bool net)
{
	struct tundish_capture *f = &r->conf->filter;
	struct tundish_capture_address *a = f->address;
	struct tundish_addr all;
	struct td_prefix p;
	int v;

	if (!text || td_prefix_parse(text, &p) < 0 || (!net && strchr(text, '/')))
		return td_fail(r->error, EINVAL, "FILTER: \"%.64s\" is no %s; valid: %s",
			       text ?: "", net ? "network" : "address",
			       net ? "192.0.2.0/24, 2001:db8::/32" : "192.0.2.1, 2001:db8::1");
	while (a < f->address + TUNDISH_CAPTURE_TERMS && a->ends)
		a++;
	if (a == f->address + TUNDISH_CAPTURE_TERMS)
		return td_fail(r->error, EINVAL,
			       "FILTER: \"%.64s\" is one address too many, a packet has %u", text,
			       TUNDISH_CAPTURE_TERMS);
	v = td_address_family(&p.address) == AF_INET;
	p.address = td_address_mask(&p.address, p.length);
	memset(&all, 0xff, sizeof(all));
	all = td_address_mask(&all, p.length);
	for (size_t i = v ? 3 : 0; i < 4; i++) {
		a->value[i] = p.address.word[i];
		a->mask[i] = all.word[i];
	}
	a->ends = ends;
	return set_family(r, v ? 4 : 6);
}

static int add_port(struct reading *r, uint32_t ends, const char *text)
{
	struct tundish_capture *f = &r->conf->filter;
	struct tundish_capture_port *p = f->port;
	unsigned long n;
	char *end;

	n = text && *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;
	if (!n || n > 65535 || *end)
		return td_fail(r->error, EINVAL, "FILTER: \"%.32s\" is no port; valid: 1 to 65535",
			       text ?: "");
	while (p < f->port + TUNDISH_CAPTURE_TERMS && p->ends)
		p++;
	if (p == f->port + TUNDISH_CAPTURE_TERMS)
		return td_fail(r->error, EINVAL,
			       "FILTER: \"%.32s\" is one port too many, a packet has %u", text,
			       TUNDISH_CAPTURE_TERMS);
	p->value = htons((uint16_t)n);
	p->ends = (uint16_t)ends;
	f->headers = 1;
	return 0;
}

/* What follows "src" and "dst", and "host" by itself. */
static int add_end(struct reading *r, uint32_t ends)
{
	char *word = next(r);

	if (word && !strcmp(word, "port"))
		return add_port(r, ends, next(r));
	if (word && !strcmp(word, "net"))
		return add_address(r, ends, next(r), true);
	if (word && !strcmp(word, "host"))
		word = next(r);
	return add_address(r, ends, word, false);
}

/* ---- what is known of a packet beside ------------------------------------------------- */

/* All of a filter has to be true: of a second one no packet is. */
static int no_second(const struct reading *r, const char *what, const char *name)
{
	return td_fail(r->error, EINVAL, "FILTER: \"%.63s\" is one %s too many, a packet has one",
		       name, what);
}

static int set_service(struct reading *r, const char *name)
{
	const struct td_state *s = r->names->state;
	const struct td_service_state *found = td_state_service(s, name);
	struct td_suggest suggest = {.given = name};
	char meant[TD_SUGGEST_TELL_BYTES];

	if (r->conf->filter.service)
		return no_second(r, "service", name);
	for (size_t i = 0; i < s->n_services; i++)
		td_suggest_add(&suggest, s->services[i].value.name);
	if (!found)
		return td_fail(r->error, ENOENT, "FILTER: there is no service \"%.63s\"%s", name,
			       td_suggest_tell(&suggest, meant, sizeof(meant)));
	r->conf->filter.service = found->id;
	snprintf(r->conf->service, sizeof(r->conf->service), "%s", found->value.name);
	return 0;
}

static int set_interface(struct reading *r, const char *name)
{
	struct td_suggest suggest = {.given = name};
	char meant[TD_SUGGEST_TELL_BYTES];

	if (r->conf->filter.ifindex)
		return no_second(r, "interface", name);
	for (size_t i = 0; i < r->names->n_attachments; i++) {
		const struct td_attachment *a = &r->names->attachments[i];

		if (a->mode == TD_MODE_NONE) /* of the configuration, and not there */
			continue;
		td_suggest_add(&suggest, a->name);
		if (strcmp(a->name, name))
			continue;
		r->conf->filter.ifindex = a->ifindex;
		snprintf(r->conf->interface, sizeof(r->conf->interface), "%s", a->name);
		return 0;
	}
	return td_fail(r->error, ENOENT, "FILTER: tundish runs on no interface \"%.20s\"%s", name,
		       td_suggest_tell(&suggest, meant, sizeof(meant)));
}

/* The rows of counters.h that @name may stand for: that of such a name, or all where it is what follows
 * "drop_" and the like. How many; *ret is the first one, *ret_other the last one. */
static size_t find_reason(const char *name, uint32_t *ret, uint32_t *ret_other)
{
	size_t n = 0;

	for (uint32_t i = 0; i < TUNDISH_COUNTER_MAX; i++) {
		if (td_capture_reasons[i].kind == TD_CAPTURE_EVENT)
			continue;
		if (!strcmp(name, td_capture_reasons[i].name)) {
			*ret = i;
			return 1;
		}
		if (strcmp(name, td_capture_reason(i)))
			continue;
		*(n++ ? ret_other : ret) = i;
	}
	return n;
}

static int no_reason(const struct reading *r, const char *name)
{
	struct td_suggest suggest = {.given = name};
	char meant[TD_SUGGEST_TELL_BYTES];

	for (uint32_t i = 0; i < TUNDISH_COUNTER_MAX; i++)
		if (td_capture_reasons[i].kind != TD_CAPTURE_EVENT)
			td_suggest_add(&suggest, td_capture_reason(i));
	return td_fail(
		r->error, EINVAL,
		"FILTER: \"%.32s\" is no reason of a verdict%s; tundish(8) has all of them under "
		"COUNTERS",
		name, td_suggest_tell(&suggest, meant, sizeof(meant)));
}

/* What is dropped is so as it came; what is passed leaves for nowhere, but it may be unwrapped. */
static int set_reason(struct reading *r, const char *name)
{
	struct tundish_capture *f = &r->conf->filter;
	uint32_t counter = 0, other = 0;
	enum td_capture_kind kind;
	size_t n = find_reason(name, &counter, &other);

	if (f->counter)
		return no_second(r, "reason", name);
	if (!n)
		return no_reason(r, name);
	if (n > 1)
		return td_fail(r->error, EINVAL, "FILTER: \"%s\" is %s and %s; give one", name,
			       td_capture_reasons[counter].name, td_capture_reasons[other].name);
	kind = td_capture_reasons[counter].kind;
	if (f->points == TUNDISH_CAPTURE_DROPPED && kind != TD_CAPTURE_DROP)
		return td_fail(r->error, EINVAL,
			       "FILTER: no packet is dropped as %s; capture it with --point all",
			       td_capture_reasons[counter].name);
	if (f->points == TUNDISH_CAPTURE_OUT && kind != TD_CAPTURE_SEND &&
	    counter != TUNDISH_COUNTER_pass_decapsulated)
		return td_fail(r->error, EINVAL,
			       "FILTER: no packet leaves as %s; capture it with --point %s",
			       td_capture_reasons[counter].name,
			       kind == TD_CAPTURE_DROP ? "dropped" : "in");
	f->counter = counter + 1;
	if (kind == TD_CAPTURE_DROP)
		f->points = TUNDISH_CAPTURE_DROPPED;
	return 0;
}

/* What follows @word, as `set` takes it. */
static int set_by_name(struct reading *r, const char *word,
		       int (*set)(struct reading *r, const char *name))
{
	const char *name = next(r);

	if (!name)
		return td_fail(r->error, EINVAL, "FILTER: a name has to follow \"%s\"", word);
	return set(r, name);
}

/* ---- all of it ------------------------------------------------------------------------- */

static int read_word(struct reading *r, const char *word)
{
	const uint32_t both = TUNDISH_CAPTURE_SOURCE | TUNDISH_CAPTURE_DESTINATION;

	if (!strcmp(word, "host"))
		return add_address(r, both, next(r), false);
	if (!strcmp(word, "net"))
		return add_address(r, both, next(r), true);
	if (!strcmp(word, "port"))
		return add_port(r, both, next(r));
	if (!strcmp(word, "src"))
		return add_end(r, TUNDISH_CAPTURE_SOURCE);
	if (!strcmp(word, "dst"))
		return add_end(r, TUNDISH_CAPTURE_DESTINATION);
	if (!strcmp(word, "tcp"))
		return set_protocol(r, IPPROTO_TCP, IPPROTO_TCP);
	if (!strcmp(word, "udp"))
		return set_protocol(r, IPPROTO_UDP, IPPROTO_UDP);
	if (!strcmp(word, "icmp"))
		return set_protocol(r, IPPROTO_ICMP, IPPROTO_ICMPV6);
	if (!strcmp(word, "ip"))
		return set_family(r, 4);
	if (!strcmp(word, "ip6"))
		return set_family(r, 6);
	if (!strcmp(word, "service"))
		return set_by_name(r, word, set_service);
	if (!strcmp(word, "reason"))
		return set_by_name(r, word, set_reason);
	if (!strcmp(word, "interface"))
		return set_by_name(r, word, set_interface);
	return no_word(r, word);
}

int td_capture_filter(const char *text, const struct td_capture_names *names,
		      struct td_capture_conf *conf, struct td_error *error)
{
	char copy[sizeof(conf->text)];
	struct reading r = {.names = names, .conf = conf, .error = error};
	bool joined = true; /* "and" is needed before the next one, or has been read */
	int e = 0;

	if (strlen(text) >= sizeof(copy))
		return td_fail(error, EINVAL, "FILTER: it has more than %zu characters",
			       sizeof(copy) - 1);
	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return td_fail(error, EINVAL, "FILTER: it holds a control character");
	memcpy(copy, text, strlen(text) + 1);
	memcpy(conf->text, text, strlen(text) + 1);
	for (char *word = strtok_r(copy, BLANKS, &r.rest); word && !e; word = next(&r)) {
		if (!strcmp(word, "and")) {
			if (joined)
				return td_fail(error, EINVAL,
					       "FILTER: \"and\" joins two parts; valid: %s", VALID);
			joined = true;
			continue;
		}
		joined = false;
		e = read_word(&r, word);
	}
	if (!e && joined && text[strspn(text, BLANKS)])
		return td_fail(error, EINVAL, "FILTER: something has to follow \"and\"; valid: %s",
			       VALID);
	if (r.family)
		conf->filter.protocol[r.family == 4] = TUNDISH_CAPTURE_NO_FAMILY;
	return e;
}
