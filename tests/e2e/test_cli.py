# SPDX-License-Identifier: MIT
"""The commands as such: help, version, completion, exit statuses, JSON."""
import json
import os
import re

import pytest

from rigwaylib.home import Home, binary
from rigwaylib.ports import freeport
from rigwaylib.world import rows_of

COMMANDS = ["relay", "rig", "join", "invite", "ls", "status", "forward",
            "unforward", "connect", "ssh", "ssh-config", "config",
            "completion", "demo", "version"]
SUBCOMMANDS = [("relay", "invite"), ("relay", "devices"), ("relay", "remove"),
               ("rig", "invite"), ("rig", "devices"), ("rig", "remove"),
               ("config", "check")]


@pytest.fixture
def home(tmp):
    h = Home(tmp, "h")
    yield h
    assert h.close() == []


def test_help_lists_every_command(home):
    r = home.rigway("--help")
    assert r.err == ""
    for c in COMMANDS:
        assert re.search(rf"^\s+(rigway )?{c}\b", r.out, re.M), c


@pytest.mark.parametrize("words", [(c,) for c in COMMANDS] + SUBCOMMANDS,
                         ids=" ".join)
def test_help_everywhere(home, words):
    r = home.rigway(*words, "--help")
    assert "rigway " + words[0] in r.out and r.err == "", repr(r)
    assert not re.search(r"\b(fleets?|carriers?|splic\w*)\b",
                         r.out.replace("--fleet", ""), re.I), repr(r)
    # Asking for help leaves nothing behind.
    assert home.is_untouched()


def test_misuse_is_2_and_says_so(home):
    home.fails(check=2)
    r = home.fails("no-such-command", check=2, says="no-such-command")
    r = home.fails("fowrard", check=2, says="forward")
    for c in COMMANDS:
        if c == "ssh":
            continue  # its words are ssh's
        r = home.rigway(c, "--no-such-flag", check=None)
        assert r.rc == 2 and "no-such-flag" in r.err, repr(r)
        assert r.out == ""
    home.fails("ls", "--jsno", check=2, says=r"^rigway ls: .*--jsno")
    home.fails("forward", "desk", check=2, says=r"which port\?.*desk 8888")
    for argv in (["join"], ["forward"], ["unforward"], ["connect"],
                 ["completion"], ["completion", "tcsh"], ["config"],
                 ["config", "nonsense"], ["relay", "nonsense"],
                 ["rig", "nonsense"], ["relay", "invite", "--uses", "many"],
                 ["rig", "invite", "--expires", "soon"]):
        home.fails(*argv, check=2)


def test_version(home):
    r = home.rigway("version")
    assert re.fullmatch(r"rigway \d+\.\d+\.\d+\S*\n", r.out.splitlines(
        keepends=True)[0]), repr(r)
    assert home.rigway("--version").out.split()[1] == r.out.split()[1]


def test_output_that_cannot_be_written_is_an_error(home):
    for argv in (["version"], ["--help"], ["completion", "bash"]):
        r = home.exec("sh", "-c", '"$@" >/dev/full', "sh", binary(), *argv)
        assert r.rc == 1, repr(r)


def test_completion_loads_and_completes_in_bash(home):
    script = """
        set -eu
        source <(rigway completion bash)
        f=$(complete -p rigway | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"
                COMP_POINT=${#COMP_LINE}; COMPREPLY=()
                "$f" rigway "${@: -1}" "${@: -2:1}" || true
                printf '%s|' "${COMPREPLY[@]}"; echo; }
        try rigway forw
        try rigway relay inv
        try rigway forward --fore
    """
    r = home.exec("bash", "-c", script)
    assert r.rc == 0 and r.err == "", repr(r)
    lines = [x.replace(" ", "") for x in r.out.splitlines()]
    assert lines == ["forward|", "invite|", "--foreground|"], repr(r)


def test_completion_loads_in_zsh(home):
    r = home.exec("zsh", "-f", "-c", """
        autoload -Uz compinit && compinit -u -d $HOME/zcompdump || exit 3
        source <(rigway completion zsh) || exit 4
        [[ -n ${_comps[rigway]} ]] || exit 5
        whence -f ${_comps[rigway]} >/dev/null || exit 6
        rigway completion zsh | zsh -n""")
    assert r.rc == 0 and r.err == "", repr(r)


def test_completion_works_in_fish(home):
    r = home.exec("fish", "--no-config", "-c", """
        rigway completion fish | source
        complete -C 'rigway forw'
        complete -C 'rigway relay inv'
        complete -C 'rigway forward --fore'""",
                  env={"XDG_CONFIG_HOME": home.path("c"),
                       "XDG_DATA_HOME": home.path("d")})
    words = [x.split("\t")[0] for x in r.out.splitlines()]
    assert r.rc == 0 and words == ["forward", "invite", "--foreground"], \
        repr(r)


def test_completion_knows_the_rigs(world):
    w = world.up(name="big-box")
    r = w.laptop.exec("bash", "-c", """
        source <(rigway completion bash)
        f=$(complete -p rigway | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        COMP_WORDS=(rigway forward bi); COMP_CWORD=2
        COMP_LINE='rigway forward bi'; COMP_POINT=17
        "$f" rigway bi forward; echo "${COMPREPLY[@]}" """)
    assert r.out.strip() == "big-box", repr(r)


def test_ls_and_status_as_json(world):
    w = world.up()
    w.wait_online()
    echo = w.rig.service("echo")
    port = w.forward(echo.port)
    w.echo_through(port)
    rigs = rows_of(w.laptop.json("ls"), "rigs")
    assert [r["name"] for r in rigs] == ["desk"]
    st = w.laptop.json("status")
    assert str(port) in json.dumps(st) and "desk" in json.dumps(st)
    for words in (("relay", "devices"), ("rig", "devices")):
        h = {"relay": w.relay, "rig": w.rig}[words[0]]
        assert rows_of(h.json(*words), "devices")
    out = w.laptop.rigway("status").out
    assert "desk" in out and str(port) in out
    # When the rig is away, both say so.
    w.rig_proc.stop()
    from rigwaylib.poll import wait_for
    wait_for(lambda: not w.online(), 30, "ls says that the rig is away")


def test_ls_with_nothing_paired(home):
    r = home.rigway("ls")
    assert "join" in r.err + r.out
    assert rows_of(home.json("ls"), "rigs") == []


def test_no_colour_into_a_pipe(world):
    w = world.up()
    for argv in (["ls"], ["status"], ["--help"]):
        r = w.laptop.rigway(*argv, env={"NO_COLOR": None, "TERM": "xterm"})
        assert "\x1b" not in r.out + r.err


def test_a_very_deep_home_still_works(world):
    """A socket's path holds 107 bytes; a home may be deeper."""
    w = world
    w.machines()
    for h in (w.rig, w.laptop):
        h.rigway_home = os.path.join(h.dir, "d" * 60, "e" * 60, "r")
        os.makedirs(h.rigway_home, mode=0o700)
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    w.join_laptop()
    w.echo_through(w.forward(w.rig.service("echo").port))


def test_without_rigway_home_the_xdg_folders_hold_it(world):
    w = world.machines()
    port = freeport()
    xdg = {"RIGWAY_HOME": "", "XDG_RUNTIME_DIR": w.relay.path("rt"),
           "XDG_STATE_HOME": w.relay.path("st"),
           "XDG_CONFIG_HOME": w.relay.path("cf")}
    os.mkdir(w.relay.path("rt"), 0o700)
    p = w.relay.rigway_start("relay", "--listen", f"127.0.0.1:{port}", env=xdg)
    w.relay.wait_port(port)
    assert w.relay.rigway("relay", "invite", env=xdg).out.strip()
    assert os.path.exists(w.relay.path("st", "rigway"))
    assert os.path.exists(w.relay.path("rt", "rigway", "relay.sock"))
    assert w.relay.is_untouched()
    p.stop()
