#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
#
# No chain of calls of the objects that were built is deeper than the stack that Linux 6.1 grants
# (scripts/check-stack), and what is deeper by one frame or by the rounding of one is found.
set -u
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
CLANG=${CLANG:-clang}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
failed=0

ok() { echo "ok - $*"; }
not_ok() {
	echo "not ok - $*"
	failed=1
}

for source in bpf/*.bpf.c tests/bpf/*.bpf.c; do
	object=$BUILD/$(basename "$source" .c).o
	[ "${source#tests}" = "$source" ] || object=$BUILD/tests/${object##*/}
	scripts/check-stack "$object" || failed=1
done

# Each way to call: a static function, of the same section or of another; a global one; a callback of
# either kind. Frames of 160 bytes are 160, of 168 bytes are 192, of 8 bytes 32.
cat >"$scratch/calls.c" <<'C'
#define PROGRAM __attribute__((section("xdp"), used))
#define FRAME(n)                                                                                   \
	volatile char frame[n];                                                                    \
	frame[x & 7] = x
#define CALLS(name, bytes, callee)                                                                 \
	__attribute__((noinline)) int name(int x)                                                  \
	{                                                                                          \
		FRAME(bytes);                                                                      \
		return callee(x) + frame[3];                                                       \
	}
#define ENTRY(name, bytes, callee) PROGRAM int name(void *context)                                 \
	{                                                                                          \
		int x = (int)(long)context;                                                        \
		FRAME(bytes);                                                                      \
		return callee(x) + frame[3];                                                       \
	}

static long (*loop)(unsigned int n, void *callback, void *context, unsigned long long flags) =
	(void *)181;
#define NOTHING(x) (x)
#define LOOPS(x) loop(3, around, (void *)0, 0)
#define LOOPS_GLOBAL(x) loop(3, around_global, (void *)0, 0)

static CALLS(leaf, 160, NOTHING)
static CALLS(leaf_odd, 168, NOTHING)
static CALLS(two, 160, leaf)
CALLS(three, 160, two)
static CALLS(two_odd, 168, leaf_odd)
static __attribute__((noinline)) long around(int x, void *context)
{
	FRAME(104);
	return leaf(x) + frame[3];
}
__attribute__((noinline)) long around_global(int x, void *context)
{
	FRAME(104);
	return leaf(x) + frame[3];
}
static CALLS(d2, 8, NOTHING)
static CALLS(d3, 8, d2)
static CALLS(d4, 8, d3)
static CALLS(d5, 8, d4)
static CALLS(d6, 8, d5)
static CALLS(d7, 8, d6)
static CALLS(d8, 8, d7)
static CALLS(d9, 8, d8)
ENTRY(alone, 8, NOTHING)
ENTRY(fits, 32, three)
ENTRY(eight_frames, 8, d8)
ENTRY(looping, 160, LOOPS)
ENTRY(looping_global, 160, LOOPS_GLOBAL)
#ifdef DEEP
ENTRY(deep, 33, three)
#endif
#ifdef ROUNDED /* 504 bytes, if they were not rounded */
ENTRY(rounded, 168, two_odd)
#endif
#ifdef LOOP_DEEP
static CALLS(before, 208, LOOPS)
ENTRY(loop_deep, 8, before)
#endif
#ifdef NINE
ENTRY(nine_frames, 8, d9)
#endif
#ifdef ROUND
int again(int x);
static CALLS(back, 8, again)
CALLS(again, 8, back)
ENTRY(round, 8, again)
#endif
#ifdef ELSEWHERE
extern int elsewhere(int x);
ENTRY(abroad, 8, elsewhere)
#endif
C
made() { # [-DWHAT]
	"$CLANG" -O2 -target bpf -mcpu=v3 -fno-optimize-sibling-calls -fstack-usage "$@" -c "$scratch/calls.c" \
		-o "$scratch/calls.o" 2>"$scratch/log" || {
		not_ok "$CLANG: $(head -n 1 "$scratch/log")"
		exit 1
	}
}
found() { # NAME WANTED, of the programs that always are there
	local got
	got=$(scripts/check-stack --all "$scratch/calls.o" | awk '{print $3 "=" $1 "/" $2}' | sort | xargs)
	if [ "$got" = "$2" ]; then ok "$1"; else not_ok "$1 (got $got, wanted $2)"; fi
}
told() { # NAME PATTERN: it fails, and says why
	local said
	if said=$(scripts/check-stack "$scratch/calls.o"); then
		not_ok "$1 (nothing found: $said)"
	elif grep -qE -- "$2" <<<"$said"; then
		ok "$1"
	else
		not_ok "$1 (said: $said)"
	fi
}

made
found 'each way to call is counted' \
	'alone=32/1 eight_frames=256/8 fits=512/4 looping=448/3 looping_global=448/3'
if scripts/check-stack "$scratch/calls.o" >"$scratch/log"; then
	ok 'what just fits is right'
else
	not_ok "what just fits: $(cat "$scratch/log")"
fi
made -DDEEP && told 'a byte more' '544 of 512 .*: deep:40 > three:160 > two:160 > leaf:160'
made -DROUNDED && told 'each frame is rounded' '576 of 512 .*: rounded:168 > two_odd:168 > leaf_odd:168'
made -DLOOP_DEEP && told 'a callback is on top of its caller' '544 of 512 .*: loop_deep:8 > before:208 > around:104 > leaf:160'
made -DNINE && told 'nine frames' '9 of 8 .*: nine_frames:8 > d9:8'
made -DROUND && told 'a function that calls itself' 'calls itself'
made -DELSEWHERE && told 'a call out of the object' 'abroad calls elsewhere'
made && sed -i '/leaf\t/d' "$scratch/calls.su" && told 'a frame that nobody knows' 'no frame of leaf'
rm "$scratch/calls.su" && told 'no frames at all' 'No such file.*calls.su'
exit $failed
