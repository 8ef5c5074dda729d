# SPDX-License-Identifier: MIT
"""The stock OpenSSH client, and the tools that stand on it, through
ssh-config: with nothing typed but `ssh desk.rig`."""
import filecmp
import os
import re

import pytest

from rigwaylib import sshd, xdisplay
from rigwaylib.poll import wait_for
from rigwaylib.ports import freeport
from rigwaylib.terminal import Terminal


@pytest.fixture
def paired(world):
    """sshd on the rig, the laptop's key known there, ssh-config installed."""
    w = sshd.rig_up(world)
    sshd.let_in(w)
    w.laptop.rigway("ssh-config", "--install")
    return w


def ssh(w, *args, **kw):
    return w.laptop.exec("ssh", "-o", "BatchMode=yes", *args, timeout=60, **kw)


@pytest.mark.sanitizer
def test_ssh_needs_nothing_but_the_name(paired):
    w = paired
    r = ssh(w, "desk.rig", "echo $HOME; exit 42")
    assert (r.rc, r.out) == (42, w.rig.home + "\n"), repr(r)
    # Another port: through the same name, to that port of the rig.
    page = w.rig.service("page", 0, "forwarded by ssh")
    local = freeport()
    p = w.laptop.start("ssh", "-N", "-o", "BatchMode=yes", "-o",
                       "ExitOnForwardFailure=yes", "-L",
                       f"{local}:127.0.0.1:{page.port}", "desk.rig")
    w.laptop.wait_port(local)
    r = w.laptop.exec("curl", "-sS", f"http://127.0.0.1:{local}/")
    assert r.out == "forwarded by ssh"
    p.stop()


def test_rigway_ssh(paired):
    w = paired
    r = w.laptop.rigway("ssh", "desk", "echo $HOME; exit 5", check=5,
                        timeout=60)
    assert r.out == w.rig.home + "\n"
    r = w.laptop.rigway("ssh", "desk", "--", "printf", "%s", "a-b", timeout=60)
    assert r.out == "a-b"


def test_a_wrong_host_key_is_refused(paired):
    """The known_hosts that ssh-config writes is not for show."""
    w = paired
    conf = w.laptop.exec("ssh", "-G", "desk.rig").out
    files = re.search(r"^userknownhostsfile (.*)$", conf, re.M).group(1)
    known = files.split()[0].replace("~", w.laptop.home)
    with open(known) as f:
        text = f.read()
    assert w.rig.host_key.split()[1] in text
    evil = sshd.keygen(w.laptop.path("evil"))
    with open(known, "w") as f:
        f.write(text.replace(w.rig.host_key.split()[1], evil.split()[1]))
    r = ssh(w, "desk.rig", "true")
    assert r.rc == 255 and "host key" in r.err.lower(), repr(r)


def test_the_block_stands_first_and_keeps_ssh_from_giving_up(paired):
    w = paired
    conf = w.laptop.path(".ssh", "config")
    w.laptop.rigway("ssh-config", "--uninstall")
    mine = "Host *\n  ServerAliveInterval 15\n  TCPKeepAlive yes\n" \
           "  User somebody\n  Port 2222\n"
    with open(conf, "w") as f:
        f.write(mine)
    w.laptop.rigway("ssh-config", "--install")
    w.laptop.rigway("ssh-config", "--install")
    with open(conf) as f:
        text = f.read()
    assert text.count("Include") == 1 and text.endswith(mine)
    got = w.laptop.exec("ssh", "-G", "desk.rig").out
    for line in ("serveraliveinterval 0", "tcpkeepalive no",
                 f"user {w.rig.user_name}", "proxyusefdpass yes"):
        assert line in got.splitlines(), (line, got)
    assert ssh(w, "desk.rig", "true").rc == 0
    # Other hosts keep what the user wrote.
    assert "user somebody" in w.laptop.exec("ssh", "-G", "other").out
    w.laptop.rigway("ssh-config", "--uninstall")
    with open(conf) as f:
        assert f.read() == mine


def test_ssh_config_prints_the_block(paired):
    r = paired.laptop.rigway("ssh-config")
    for word in ("Host", "desk.rig", "ProxyCommand", "ProxyUseFdpass",
                 "ServerAliveInterval 0", "TCPKeepAlive no",
                 "UserKnownHostsFile"):
        assert word in r.out, word


def test_port_22_means_sshd_wherever_it_listens(paired):
    w = paired
    assert w.rig.sshd_port != 22
    r = ssh(w, "-p", "22", "desk.rig", "echo here")
    assert r.out == "here\n", repr(r)


def test_scp_and_sftp(paired):
    w = paired
    big = w.laptop.path("big")
    with open(big, "wb") as f:
        f.write(os.urandom(20_000_000))
    w.laptop.exec("scp", "-q", "-B", big, f"desk.rig:{w.rig.home}/big",
                  check=0, timeout=60)
    assert filecmp.cmp(big, w.rig.path("big"), shallow=False)
    back = w.laptop.path("back")
    w.laptop.exec("sftp", "-q", "-b", "-", "desk.rig", check=0, timeout=60,
                  input=f"get {w.rig.home}/big {back}\n")
    assert filecmp.cmp(big, back, shallow=False)


def test_rsync(paired):
    w = paired
    src = w.laptop.path("tree")
    for i in range(40):
        os.makedirs(f"{src}/d{i % 7}", exist_ok=True)
        with open(f"{src}/d{i % 7}/f{i}", "wb") as f:
            f.write(os.urandom(1000 * i))
    w.laptop.exec("rsync", "-a", "-e", "ssh -o BatchMode=yes", src + "/",
                  f"desk.rig:{w.rig.home}/tree/", check=0, timeout=60)
    r = w.laptop.exec("diff", "-r", src, w.rig.path("tree"), check=0)
    assert r.out == ""
    r = w.laptop.exec("rsync", "-a", "-n", "-i", "-e", "ssh -o BatchMode=yes",
                      f"desk.rig:{w.rig.home}/tree/", src + "/", check=0,
                      timeout=60)
    assert r.out == ""


def test_git_clone_and_push(paired):
    w = paired
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost",
           "-c", "init.defaultBranch=main"]
    w.rig.exec(*git, "init", "-q", "--bare", w.rig.path("p.git"), check=0)
    url = f"desk.rig:{w.rig.home}/p.git"
    one, two = w.laptop.path("one"), w.laptop.path("two")
    w.laptop.exec(*git, "clone", "-q", url, one, check=0, timeout=60)
    with open(f"{one}/data", "wb") as f:
        f.write(os.urandom(2_000_000))
    w.laptop.exec(*git, "-C", one, "add", "data", check=0)
    w.laptop.exec(*git, "-C", one, "commit", "-q", "-m", "data", check=0)
    w.laptop.exec(*git, "-C", one, "push", "-q", "origin", "HEAD:main",
                  check=0, timeout=60)
    w.laptop.exec(*git, "clone", "-q", "-b", "main", url, two, check=0,
                  timeout=60)
    assert filecmp.cmp(f"{one}/data", f"{two}/data", shallow=False)


def test_dynamic_forwarding(paired):
    w = paired
    page = w.rig.service("page", 0, "through socks")
    port = freeport()
    p = w.laptop.start("ssh", "-N", "-o", "BatchMode=yes", "-D",
                       f"127.0.0.1:{port}", "desk.rig")
    w.laptop.wait_port(port)
    r = w.laptop.exec("curl", "-sS", "--socks5-hostname", f"127.0.0.1:{port}",
                      f"http://127.0.0.1:{page.port}/")
    assert r.out == "through socks", repr(r)
    p.stop()


def test_x11_forwarding(paired):
    w = paired
    x = xdisplay.start(w.laptop)
    r = w.laptop.exec(
        "ssh", "-o", "BatchMode=yes", "-X", "desk.rig",
        "xclock & E=$!; "
        "for i in $(seq 300); do xwininfo -root -tree 2>/dev/null | "
        "grep -o '\"xclock\"' && break; done; kill $E",
        env={"DISPLAY": x.display}, timeout=90)
    assert "xclock" in r.out, repr(r)


def test_control_master(paired):
    w = paired
    sock = os.path.join(w.dir, "cm")
    cm = ["-o", f"ControlPath={sock}"]
    r = ssh(w, "-f", "-N", "-M", *cm, "desk.rig", input="")
    assert r.rc == 0, repr(r)
    for i in range(3):
        assert ssh(w, *cm, "desk.rig", f"echo {i}").out == f"{i}\n"
    assert ssh(w, *cm, "-O", "exit", "desk.rig").rc == 0
    wait_for(lambda: not os.path.exists(sock))


def test_an_open_ssh_outlives_the_relay(paired):
    """The very reason for all this: kill -9 and a restart of the relay in
    the middle of an interactive command."""
    w = paired
    p = w.laptop.popen("ssh", "-o", "BatchMode=yes", "desk.rig", "cat")
    p.stdin.write(b"before\n")
    p.stdin.flush()
    assert p.stdout.readline() == b"before\n"
    w.relay_proc.kill()
    p.stdin.write(b"while it is down\n")
    p.stdin.flush()
    w.start_relay()
    assert p.stdout.readline() == b"while it is down\n"
    p.stdin.close()
    assert p.wait(30) == 0


def test_join_offers_to_put_the_key_into_authorized_keys(world):
    w = sshd.rig_up(world)
    pub = sshd.keygen(w.laptop.path(".ssh", "id_ed25519"))
    wait_for(lambda: w.rig.rigway("rig", "invite", check=None).rc == 0)
    keys = w.rig.path(".ssh", "authorized_keys")
    # Not asked on a terminal, nothing is done, and it says how.
    code = w.client_code()
    r = w.laptop.rigway("join", code, input="")
    assert not os.path.exists(keys) or pub.split()[1] not in open(keys).read()
    w.laptop.rigway("join", code, "--authorize-key")
    with open(keys) as f:
        assert f.read().count(pub.split()[1]) == 1
    assert os.stat(keys).st_mode & 0o077 == 0
    w.laptop.rigway("join", code, "--authorize-key")
    with open(keys) as f:
        assert f.read().count(pub.split()[1]) == 1
    w.laptop.rigway("ssh-config", "--install")
    assert ssh(w, "desk.rig", "echo in").out == "in\n", repr(r)


def test_join_asks_a_person_about_the_key(world):
    w = sshd.rig_up(world)
    wait_for(lambda: w.rig.rigway("rig", "invite", check=None).rc == 0)
    keys = w.rig.path(".ssh", "authorized_keys")
    for answer, there in (("n", False), ("y", True)):
        h = w.home(f"says-{answer}")
        pub = sshd.keygen(h.path(".ssh", "id_ed25519")).split()[1]
        t = Terminal(h, h.bin, "join", w.client_code())
        t.wait_text(r"\[y/N\]")
        t.type(answer + "\n")
        assert t.end() == 0, t.out
        text = ""
        if os.path.exists(keys):
            with open(keys) as f:
                text = f.read()
        assert (pub in text) == there, t.out
