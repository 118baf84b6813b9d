#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What a shell makes of a line: types it into a real one, in a terminal, and presses TAB.

  shells.py bash|zsh SCRIPT       lines on stdin; what each becomes on stdout
  shells.py hostile PATH          a control socket that answers with names that are none
  shells.py silent PATH           one that never answers

A line that ends in " *" gets all that is offered, in place of the last word. Completion itself is
the shell's: its line editor, the script, the program. Then a key tells the line as it stands.
"""
import json
import os
import pty
import re
import select
import socket
import subprocess
import sys
import threading
import time

SLOW = float(os.environ.get("TUNDISH_TEST_SLOW", "1"))
SECONDS = 20 * SLOW
RC = {
    "bash": """
PS1='ready> '; unset HISTFILE
bind 'set bell-style none'; bind 'set enable-bracketed-paste off'
bind 'set page-completions off'; bind 'set completion-query-items 0'
_tell() { printf '<<%s>>\\n' "$READLINE_LINE"; READLINE_LINE=; READLINE_POINT=0; }
bind -x '"\\C-g": _tell'
bind '"\\C-xa": insert-completions'
source SCRIPT
""",
    "zsh": """
PS1='ready> '; unsetopt zle_bracketed_paste prompt_cr prompt_sp beep; HISTSIZE=0
fpath=(DIRECTORY $fpath)
autoload -Uz compinit && compinit -u -D
_tell() { print -r -- "<<$BUFFER>>"; BUFFER=; zle reset-prompt }
zle -N _tell; bindkey -e; bindkey '^g' _tell
zstyle ':completion:all-matches::::' completer _all_matches _complete
zstyle ':completion:all-matches:*' old-matches true
zstyle ':completion:all-matches:*' insert true
zle -C all-matches complete-word _generic
bindkey '^xa' all-matches
""",
}


class Shell:
    def __init__(self, kind, script):
        directory = os.environ["T"] + "/" + kind
        os.makedirs(directory, exist_ok=True)
        rc = RC[kind].replace("SCRIPT", script).replace("DIRECTORY", directory)
        name = {"bash": "rc", "zsh": ".zshrc"}[kind]
        with open(f"{directory}/{name}", "w") as f:
            f.write(rc)
        if kind == "zsh":
            with open(script) as f, open(f"{directory}/_tundish", "w") as g:
                g.write(f.read())
        main, other = pty.openpty()
        argv = ["bash", "--noprofile", "--rcfile", f"{directory}/rc", "-i"] if kind == "bash" else ["zsh", "-d", "-i"]
        self.process = subprocess.Popen(
            argv, stdin=other, stdout=other, stderr=other, start_new_session=True,
            env=dict(os.environ, ZDOTDIR=directory, HOME=directory, TERM="dumb", COLUMNS="200", LINES="50"))
        os.close(other)
        self.fd = main
        self.text = ""
        self.wait("ready> ")

    def wait(self, pattern):
        end = time.monotonic() + SECONDS
        while not re.search(pattern, self.text):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise SystemExit(f"the shell does not answer; it said: {self.text[-500:]!r}")
            self.text += os.read(self.fd, 65536).decode(errors="replace")
        return re.search(pattern, self.text)

    def complete(self, line):
        self.text = ""
        keys = line[:-1] + "\x18a" if line.endswith(" *") else line + "\t"
        os.write(self.fd, (keys + "\x07").encode())
        return self.wait(r"<<(.*?)>>").group(1)

    def end(self):
        os.close(self.fd)  # hangs up
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()


def serve(path, answer):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen(16)
    print("ready", flush=True)

    def one(c):
        with c:
            c.recv(65536)
            if answer is None:
                time.sleep(3600)
            c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(answer), answer))

    while True:
        threading.Thread(target=one, args=(s.accept()[0],), daemon=True).start()


HOSTILE = ["$(touch pwned)", "`touch pwned`", "a b", "x;touch pwned", "-rf", "\x1b[2Jx", "a\nb", "*", "'", "good",
           "\u202e", "x" * 5000 + "'"]

if sys.argv[1] == "hostile":
    serve(sys.argv[2], json.dumps([{"service": n, "name": n, "delivery": "\x1b]0;told\x07"} for n in HOSTILE]).encode())
elif sys.argv[1] == "silent":
    serve(sys.argv[2], None)
else:
    shell = Shell(sys.argv[1], sys.argv[2])
    for line in sys.stdin:
        print(shell.complete(line.rstrip("\n")).rstrip(" "))
    shell.end()
