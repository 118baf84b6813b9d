#compdef tundish
# SPDX-License-Identifier: GPL-2.0-only
# Completion for tundish in zsh: the program itself says what may follow, from the
# same table that it parses with, and asks the daemon for names.

_tundish()
{
	local -a lines names shown
	local line

	lines=("${(@f)$("${(Q)words[1]}" __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
	for line in "${(@)lines}"; do
		case $line in
		:files) _files ;;
		:commands) _command_names -e; _files ;;
		?*)
			names+=("${line%%$'\t'*}")
			if [[ $line == *$'\t'* ]]; then
				shown+=("${line%%$'\t'*}  ${line#*$'\t'}")
			else
				shown+=("$line")
			fi
			;;
		esac
	done
	(( $#names )) && compadd -l -d shown -a -- names
	return 0
}

_tundish "$@"
