# SPDX-License-Identifier: GPL-2.0-only
# Completion for tundish: the program itself says what may follow, from the
# same table that it parses with.

_tundish()
{
	local word=${COMP_WORDS[COMP_CWORD]} candidates

	case ${COMP_WORDS[COMP_CWORD - 1]} in
	--control | --pin)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	esac
	candidates=$(tundish __complete "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)
	mapfile -t COMPREPLY < <(compgen -W "$(grep -v '^\[*[A-Z]' <<<"$candidates")" -- "$word")
	if grep -q '^FILE$' <<<"$candidates"; then
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$word")
	fi
	if grep -q '^COMMAND$' <<<"$candidates"; then
		mapfile -t COMPREPLY < <(compgen -c -f -- "$word")
		return
	fi
	if grep -q '^PID$' <<<"$candidates"; then
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(
			compgen -W "$(cd /proc && echo [0-9]*)" -- "$word"
		)
	fi
	# names, from the daemon if there is one
	if grep -q '^\[*SERVICE' <<<"$candidates"; then
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(
			compgen -W "$(tundish --json service list 2>/dev/null |
				sed -n 's/^    "service": "\([A-Za-z0-9_.-]*\)",*$/\1/p')" -- "$word"
		)
	elif grep -q '^BACKEND$' <<<"$candidates"; then
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(
			compgen -W "$(tundish --json backend list "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null |
				sed -n 's/^    "name": "\([A-Za-z0-9_.-]*\)",*$/\1/p')" -- "$word"
		)
	elif grep -q '^WORKER$' <<<"$candidates"; then
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(
			compgen -W "all $(tundish --json worker list "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null |
				sed -n 's/^    "worker": "\(w[0-9]*\)",*$/\1/p')" -- "$word"
		)
	fi
}

complete -F _tundish tundish
