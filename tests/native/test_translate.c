// SPDX-License-Identifier: GPL-2.0-only
/*
 * Translated connections, packet by packet, compiled for this machine.
 */
#include "native/rig_native.h"

#include "bpf/cases_translate.h"

int main(void)
{
	return run_translate_cases();
}
