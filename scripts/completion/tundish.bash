# SPDX-License-Identifier: GPL-2.0-only
# Completion for tundish in bash: the program itself says what may follow, from the
# same table that it parses with, and asks the daemon for names.

_tundish()
{
	local program=${COMP_WORDS[0]} words=() glue='' piece line strip i

	command -v "$program" >/dev/null || return
	# bash takes words apart at = and :, as in --service=web and [2001:db8::10]:80.
	for ((i = 1; i <= COMP_CWORD; i++)); do
		piece=${COMP_WORDS[i]}
		if [[ $piece =~ ^[=:]+$ && ${#words[@]} -gt 0 ]]; then
			words[${#words[@]} - 1]+=$piece
			glue=yes
		elif [ -n "$glue" ]; then
			words[${#words[@]} - 1]+=$piece
			glue=''
		else
			words+=("$piece")
		fi
	done
	[ -z "$glue" ] || piece=''
	strip=${words[${#words[@]} - 1]%"$piece"}

	COMPREPLY=()
	while IFS= read -r line; do
		case $line in
		:files)
			compopt -o filenames
			mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$piece")
			;;
		:commands)
			mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -c -f -- "$piece")
			;;
		*)
			line=${line%%$'\t'*}
			COMPREPLY+=("${line#"$strip"}")
			;;
		esac
	done < <("$program" __complete "${words[@]}" 2>/dev/null)
}

complete -F _tundish tundish
