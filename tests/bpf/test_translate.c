// SPDX-License-Identifier: GPL-2.0-only
/*
 * Translated connections, packet by packet, run by the object as it ships in this kernel.
 */
#include "bpf/cases_translate.h"

int main(void)
{
	return run_translate_cases();
}
