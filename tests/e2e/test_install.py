# SPDX-License-Identifier: MIT
"""Starting with the machine: real systemd and real cron, as process 1 of a
machine in namespaces, which is rebooted; and the supervisor, where there is
neither."""
import os
import re
import time

import pytest

from rigwaylib import flow, machine, proc
from rigwaylib.poll import wait_for

LAPTOP = {"RIGWAY_HOME": "/root/laptop"}


@pytest.fixture
def systemd():
    yield from _machine(machine.systemd, machine.SYSTEMD, "dbus-daemon",
                        "systemctl", "useradd")


@pytest.fixture
def cron():
    # `exec`: ps and pids() see cron as process 1's child.
    yield from _machine(lambda: machine.Machine(
        ["/bin/sh", "-c", "cron -f & wait"]), "cron", "crontab", "useradd")


@pytest.fixture
def bare():
    yield from _machine(lambda: machine.Machine(
        ["/bin/sh", "-c", "sleep infinity & wait"]), "useradd")


def _machine(make, *programs):
    why = machine.reason_without(*programs)
    if why:
        pytest.skip(why)
    try:
        m = make()
    except machine.CannotBoot as e:
        pytest.skip(f"no machine can be booted here: {e}")
    try:
        m.add_user("me")
        m.boot()
        if m.init[0] == machine.SYSTEMD:
            machine.wait_booted(m)
        yield m
    finally:
        m.close()


def rig_is_up(m, user=None):
    rows = m.run("rigway", "relay", "devices", "--json", user=user, check=None)
    return rows.rc == 0 and '"online": true' in rows.out


def pair(m, user=None):
    """Relay and rig of that user, both installed; the laptop is root's, in a
    home of its own. Returns what join said."""
    m.rigway("relay", "install", "--name", "127.0.0.1", user=user)
    code = wait_for(lambda: m.rigway("relay", "invite", user=user, check=None)
                    .out.strip(), 20, "a code")
    r = m.rigway("join", code, "--name", "desk", user=user)
    m.rigway("join", r.last, env=LAPTOP)
    return r


def echo_through(m, port, text="hello"):
    got = m.run("sh", "-c", f"echo {text} | nc -N -w 20 127.0.0.1 {port}",
                check=None).out.strip()
    assert got == text, got


def forward_echo(m):
    """A forward to an echo service, that systemd-less inits can run too."""
    m.daemon(proc.PYTHON, f"{machine.LIB}/rigwaylib/servers.py", "echo",
             "127.0.0.1", "7007")
    wait_for(lambda: m.run("nc", "-z", "127.0.0.1", "7007", check=None).rc == 0,
             15, "the echo service")


def test_systemd_runs_both_over_a_reboot(systemd):
    """Root installs relay and rig; the machine is rebooted, and loses its
    power; kill -9 brings each back; nothing is lost."""
    m = systemd
    r = pair(m)
    assert "starts with the machine" in r.err, r.err
    unit = m.read("/etc/systemd/system/rigway-relay.service")
    assert "User=rigway" in unit and "--name=127.0.0.1" in unit
    forward_echo(m)
    m.rigway("forward", "desk", "8007:localhost:7007", env=LAPTOP)
    echo_through(m, 8007)
    for down in ("reboot", "power"):
        if down == "reboot":
            machine.reboot(m)
        else:
            m.pull_the_plug()
            machine.wait_booted(m.boot())
        wait_for(lambda: rig_is_up(m), 30, f"the rig is back after {down}")
        forward_echo(m)
        m.rigway("ls", env=LAPTOP)  # starts the laptop's process again
        echo_through(m, 8007, down)
    for role in ("rig", "relay"):
        [pid] = m.pids(f"rigway {role} --standby")
        m.run("kill", "-9", pid)
        wait_for(lambda: (n := m.pids(f"rigway {role} --standby")) and
                 n != [pid], 30, f"another {role}")
        wait_for(lambda: rig_is_up(m), 30, "all is back")
    echo_through(m, 8007, "again")
    # A relay that is replaced and started anew keeps what is open.
    held = m.popen("nc", "127.0.0.1", "8007", stdin=-1, stdout=-1)
    try:
        held.stdin.write(b"before\n")
        held.stdin.flush()
        assert held.stdout.readline() == b"before\n"
        m.run("cp", "/usr/local/bin/rigway", "/usr/local/bin/rigway.new")
        m.run("mv", "/usr/local/bin/rigway.new", "/usr/local/bin/rigway")
        m.run("systemctl", "restart", "rigway-relay")
        held.stdin.write(b"after\n")
        held.stdin.flush()
        assert held.stdout.readline() == b"after\n"
    finally:
        held.kill()
        held.wait()
        held.stdin.close()
        held.stdout.close()


def log_in(m, linger=False):
    """me's own systemd, as a login starts it."""
    uid = m.run("id", "-u", "me").out.strip()
    if linger:
        m.run("loginctl", "enable-linger", "me")
    m.run("systemctl", "start", f"user@{uid}.service")
    assert m.run("test", "-S", f"/run/user/{uid}/systemd/private").rc == 0


def files_of(m):
    """Every file that a service or a table could be in."""
    found = {}
    for base in ("/etc/systemd", "/etc/cron.d", "/root/.config", "/home/me",
                 "/var/spool/cron", "/var/lib/systemd/linger"):
        for d, _, names in os.walk(m.path(base)):
            for n in names:
                p = os.path.join(d, n)
                if "/.local/state/" in p:
                    continue
                found[p[len(m.root):]] = (os.readlink(p)
                                          if os.path.islink(p)
                                          else open(p, "rb").read())
    return found


def test_a_relay_that_runs_already_keeps_its_key(systemd):
    """Root's relay, started by hand: the service is the same relay, waits for
    the other's end, and answers root's questions also after a reboot."""
    m = systemd
    m.daemon("rigway", "relay", "--listen", "127.0.0.1:7443")
    code = wait_for(lambda: m.rigway("relay", "invite", check=None).out.strip(),
                    20, "a code")
    m.rigway("relay", "install", "--listen", "127.0.0.1:7443")
    unit = m.read("/etc/systemd/system/rigway-relay.service")
    assert "User=root" in unit and "ProtectSystem=strict" in unit, unit
    [pid] = m.pids("rigway relay --listen")
    r = m.rigway("join", code, "--name", "desk")
    assert m.pids("rigway relay --listen") == [pid]
    m.run("kill", pid)
    wait_for(lambda: rig_is_up(m), 20, "the service took over")
    machine.reboot(m)
    wait_for(lambda: rig_is_up(m), 30, "both are back")
    m.rigway("join", r.last, env=LAPTOP)
    m.rigway("relay", "uninstall")
    assert m.rigway("relay", "devices").out.count("desk") == 1


def test_with_sudo_the_rig_of_who_typed_it_is_meant(systemd):
    m = systemd
    m.rigway("relay", "install", "--name", "127.0.0.1")
    code = wait_for(lambda: m.rigway("relay", "invite", check=None).out.strip(),
                    20, "a code")
    m.rigway("join", code, "--name", "desk", "--no-start", user="me")
    r = m.rigway("relay", "invite", user="me", check=1)
    assert "sudo rigway relay" in r.err, r.err
    sudo = {"SUDO_UID": m.run("id", "-u", "me").out.strip()}
    r = m.json("rig", "install", env=sudo)
    assert (r["user"], r["level"]) == ("me", "system"), r
    wait_for(lambda: rig_is_up(m), 20, "the rig")
    machine.reboot(m)
    wait_for(lambda: rig_is_up(m), 30, "the rig is back")
    # It was started before its user logged in, and is found all the same.
    log_in(m)
    uid = sudo["SUDO_UID"]
    here = {"XDG_RUNTIME_DIR": f"/run/user/{uid}"}
    assert m.rigway("rig", "invite", user="me", env=here).out.strip()
    r = m.rigway("rig", "uninstall", user="me", check=1)
    assert "sudo rigway rig uninstall" in r.err
    assert len(m.json("rig", "uninstall", env=sudo)["removed"]) == 1
    assert not m.pids("rigway rig")


def test_a_rig_without_a_relay_is_a_service_too(systemd):
    m = systemd
    r = m.json("rig", "install", "--listen", "127.0.0.1:7555", "--name", "desk")
    assert r["running"] is True and r["wrote"] != [], r
    assert m.json("rig", "install", "--listen", "127.0.0.1:7555", "--name",
                  "desk")["wrote"] == []
    code = wait_for(lambda: m.rigway("rig", "invite", check=None).out.strip(),
                    20, "a code")
    machine.reboot(m)
    wait_for(lambda: m.pids("rigway rig"), 20, "the rig is back")
    m.rigway("join", code, env=LAPTOP)
    log = m.run("journalctl", "-u", "rigway-rig", "-o", "cat").out
    assert "rw1" not in log  # no code where others may read


def test_a_unit_on_a_full_disk(systemd):
    """It is as it was before, and the next try makes it."""
    m = systemd
    units, unit = "/etc/systemd/system", "rigway-relay.service"

    def install(*args, check=0):
        return m.rigway("relay", "install", "--name", *args, check=check)

    def full():
        m.run("sh", "-c", "mkdir /full && mount -t tmpfs -o size=256k x /full"
              f" && cp -a {units}/. /full && mount --move /full {units}"
              f" && ! cat /dev/zero > {units}/filler", check=0)

    def room():
        m.run("sh", "-c", f"rm {units}/filler && cp -a {units}/. /full"
              f" && umount {units} && cp -a /full/. {units} && rm -r /full")

    full()
    r = install("127.0.0.1", check=1)
    assert re.search(rf"cannot write .*{unit}.*[Nn]o space", r.err), r.err
    assert not m.exists(f"{units}/{unit}") and not m.pids("rigway relay")
    room()
    install("127.0.0.1")
    old = m.read(f"{units}/{unit}")
    full()
    r = install("localhost", check=1)
    assert re.search(r"[Nn]o space", r.err), r.err
    assert m.run("cat", f"{units}/{unit}").out == old
    assert m.pids("rigway relay --standby")
    room()
    install("localhost")
    assert m.read(f"{units}/{unit}") != old


@pytest.mark.parametrize("user", [None, "me"])
def test_uninstall_takes_out_what_install_wrote(systemd, user):
    """Twice the same is nothing new; what install wrote goes, and only that;
    keys stay, so that a new install is the same rig."""
    m = systemd
    if user:
        log_in(m, linger=True)
    before = files_of(m)
    pair(m, user)
    level = "user" if user else "system"
    first = m.json("rig", "install", user=user)
    assert first["wrote"] == [] and first["running"] is True, first
    assert (first["by"], first["level"], first["at_boot"]) == \
        ("systemd", level, True), first
    assert first["log"].startswith("journalctl")
    [pid] = m.pids("rigway rig --standby")
    finger = m.json("relay", "devices", user=user)
    added = set(files_of(m)) - set(before)
    assert len(added) == 4, added  # two units and their links
    gone = m.json("rig", "uninstall", user=user)
    assert len(gone["removed"]) == 1
    m.rigway("relay", "uninstall", user=user)
    assert files_of(m) == before
    assert not m.pids("rigway (rig|relay) --standby"), pid
    again = m.rigway("rig", "uninstall", user=user)
    assert "nothing was installed" in again.err
    m.rigway("relay", "install", "--name", "127.0.0.1", user=user)
    m.rigway("rig", "install", user=user)
    wait_for(lambda: rig_is_up(m, user), 20, "the same rig is back")
    assert [d["fingerprint"] for d in finger["devices"]] == \
        [d["fingerprint"] for d in
         m.json("relay", "devices", user=user)["devices"]]


def test_a_users_services_come_back_when_the_user_lingers(systemd):
    m = systemd
    log_in(m, linger=True)
    r = pair(m, "me")
    assert "a service of this user" in r.err
    machine.reboot(m)
    wait_for(lambda: rig_is_up(m, "me"), 30, "the user's rig")
    m.rigway("rig", "install", "--system", user="me", check=1)


def test_without_lingering_it_says_what_to_do(systemd):
    """The user's systemd runs, as after a login; nobody made it linger."""
    m = systemd
    log_in(m)
    m.rigway("relay", "install", user="me")
    r = m.json("relay", "install", user="me")
    assert r["by"] == "systemd"
    if not r["at_boot"]:  # else polkit let the user decide
        assert any("loginctl enable-linger me" in n for n in r["notes"]), r


def test_what_runs_for_the_user_outlives_the_rig(systemd):
    """A process in the service's group goes on over a restart of it."""
    m = systemd
    pair(m)
    p = m.popen("sleep", "1000")
    try:
        [inner] = wait_for(lambda: m.pids("^sleep 1000"), 10)
        group = m.run("systemctl", "show", "-P", "ControlGroup",
                      "rigway-rig").out.strip()
        m.run("sh", "-c",
              f"echo {inner} > /sys/fs/cgroup{group}/cgroup.procs")
        m.run("systemctl", "restart", "rigway-rig")
        wait_for(lambda: rig_is_up(m), 20, "the rig is back")
        assert m.pids("^sleep 1000") == [inner]
        m.rigway("rig", "uninstall")
        assert m.pids("^sleep 1000") == [inner]
    finally:
        p.kill()
        p.wait()


def test_the_units_are_right_and_the_relay_is_sandboxed(systemd):
    m = systemd
    pair(m)
    r = m.run("systemd-analyze", "verify", "--man=no",
              *[f"/etc/systemd/system/rigway-{x}.service"
                for x in ("rig", "relay")])
    assert r.out + r.err == ""
    r = m.run("systemd-analyze", "security", "--no-pager", "rigway-relay")
    level = float(re.search(r"Overall exposure .*: ([0-9.]+)", r.out).group(1))
    print(f"exposure of the relay's service: {level}")
    assert level < 3


def test_the_laptops_forwards_come_back_at_login(systemd):
    m = systemd
    log_in(m)
    pair(m)
    code = m.rigway("rig", "invite").out.strip()
    m.rigway("join", code, user="me")
    forward_echo(m)
    r = m.rigway("forward", "desk", "8008:localhost:7007", user="me")
    assert "when you log in" in r.err, r.err
    unit = "/home/me/.config/systemd/user/rigway-client.service"
    assert m.exists(unit)
    r = m.rigway("forward", "desk", "8009:localhost:7007", user="me")
    assert r.err == ""  # said once
    echo_through(m, 8008)
    machine.reboot(m)
    forward_echo(m)
    assert not m.pids("rigway daemon")
    log_in(m)
    wait_for(lambda: m.pids("rigway daemon"), 20, "its process")
    wait_for(lambda: m.run("nc", "-z", "127.0.0.1", "8008",
                           check=None).rc == 0, 20, "the port")
    echo_through(m, 8008)
    m.rigway("unforward", "8008", user="me")
    assert m.exists(unit)
    r = m.rigway("unforward", "8009", user="me")
    assert "nothing starts by itself" in r.err, r.err
    assert not m.exists(unit)


def test_cron_starts_it_at_boot(cron):
    """No systemd: a line of the crontab and a supervisor, root's or not."""
    m = cron
    m.run("sh", "-c", "echo '# mine' | crontab -", user="me")
    r = pair(m, "me")
    assert "started by cron at boot" in r.err, r.err
    table = m.run("crontab", "-l", user="me").out
    assert table.count("@reboot") == 2 and table.startswith("# mine"), table
    first = m.json("rig", "install", user="me")
    assert first["wrote"] == [] and first["by"] == "cron", first
    assert m.run("crontab", "-l", user="me").out == table
    [pid] = m.pids("rigway rig --standby")
    m.run("kill", "-9", pid)
    wait_for(lambda: (n := m.pids("rigway rig --standby")) and n != [pid], 20,
             "another rig")
    m.pull_the_plug()
    m.boot()
    wait_for(lambda: rig_is_up(m, "me"), 30, "cron started them")
    m.rigway("rig", "uninstall", user="me")
    m.rigway("relay", "uninstall", user="me")
    assert not m.pids("rigway (rig|relay|supervise)")
    assert m.run("crontab", "-l", user="me").out == "# mine\n"


def test_without_either_a_supervisor_keeps_it(bare):
    """It says that a reboot ends this."""
    m = bare
    r = pair(m, "me")
    assert "does not come back after a reboot" in r.err, r.err
    assert "kept by a supervisor" in r.err
    [pid] = m.pids("rigway rig --standby")
    t = time.monotonic()
    m.run("kill", "-9", pid)
    wait_for(lambda: rig_is_up(m, "me") and
             m.pids("rigway rig --standby") not in ([], [pid]), 30, "the rig")
    print(f"supervisor: the rig is back {time.monotonic() - t:.1f} s after "
          "kill -9")
    for way, words in (("systemd", "systemd"), ("cron", "cron")):
        r = m.rigway("rig", "install", "--by", way, user="me", check=1)
        assert words in r.err, r.err
    r = m.rigway("rig", "install", "--system", user="me", check=1)
    assert "only root" in r.err
    m.rigway("rig", "uninstall", user="me")
    m.rigway("relay", "uninstall", user="me")
    assert not m.pids("rigway (rig|relay|supervise)")


def test_a_service_takes_over_without_cutting_anything(world):
    """install beside a rig that runs: what is open stays, and the service
    follows when that one ends. Under a RIGWAY_HOME, and only because asked."""
    w = world.up()
    port = w.forward(w.rig.service("echo").port)
    s = flow.connect(port)
    flow.ping(s, b"before")
    r = w.rig.json("rig", "install", "--by", "supervisor")
    assert r["by"] == "supervisor" and r["at_boot"] is False, r
    assert re.search(r"-[0-9a-f]{8}$", r["name"]), r
    flow.ping(s, b"after")
    assert w.rig_proc.alive()
    s.close()
    w.rig_proc.stop()
    w.echo_through(port)
    w.rig.rigway("rig", "uninstall")
    assert not w.rig.background()


def test_join_under_a_home_of_its_own_installs_nothing(world):
    w = world.machines()
    w.start_relay()
    r = w.rig.rigway("join", w.rig_code(), "--name", "desk")
    assert "rigway rig install" in r.err, r.err
    assert [p for p in w.rig.background()] != []
    assert not any("supervise" in proc.describe(p)
                   for p in w.rig.background())


def test_misuse(world):
    h = world.home("a")
    h.fails("rig", "install", "--user", "--system", check=2)
    h.fails("rig", "install", "now", check=2)
    h.fails("rig", "install", "--by", "magic", check=2)
    h.fails("rig", "uninstall", "--listen", ":1", check=2)
    h.fails("rig", "uninstall", "--by", "cron", check=2)
    h.fails("rig", "--name", "x", "install", check=2)
    h.fails("rig", "install", check=1, says="no rig yet")
    r = h.rigway("relay", "install", "--print", "--name", "a b%c$d")
    assert '"--name=a b%%c$$d"' in r.out
    assert not os.path.exists(os.path.join(h.rigway_home, "state"))
