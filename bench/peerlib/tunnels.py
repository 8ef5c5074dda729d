# SPDX-License-Identifier: MIT
"""Other tunnels, with the settings that their manuals show: the parts on
laptop, relay and rig, or as many of them as the program knows."""
import uuid

from peerlib.processes import free_ports
from peerlib.system import System


class V2ray(System):
    """VMess from the laptop to the portal, and from the rig's bridge."""
    name = "v2ray"
    what = "v2ray: bridge and portal"
    needs = {"v2ray": "v2ray"}

    def vmess(self, port, user, tag):
        """The way to the portal."""
        return {"tag": tag, "protocol": "vmess", "settings": {"vnext": [{
            "address": "127.0.0.1", "port": port,
            "users": [{"id": user, "alterId": 0, "security": "auto"}]}]}}

    def portal(self, ports, users):
        tags = ("laptop", "rig")
        return {
            "reverse": {"portals": [{"tag": "portal", "domain": "rig.test"}]},
            "inbounds": [
                {"tag": tag, "listen": "127.0.0.1", "port": port,
                 "protocol": "vmess", "settings": {
                     "clients": [{"id": user, "alterId": 0}]}}
                for tag, port, user in zip(tags, ports, users)],
            "outbounds": [{"tag": "direct", "protocol": "freedom"}],
            "routing": {"rules": [{"type": "field", "inboundTag": list(tags),
                                   "outboundTag": "portal"}]}}

    def bridge(self, way):
        return {
            "reverse": {"bridges": [{"tag": "bridge", "domain": "rig.test"}]},
            "outbounds": [way, {"tag": "out", "protocol": "freedom"}],
            "routing": {"rules": [
                {"type": "field", "inboundTag": ["bridge"],
                 "domain": ["full:rig.test"], "outboundTag": way["tag"]},
                {"type": "field", "inboundTag": ["bridge"],
                 "outboundTag": "out"}]}}

    def spawn_v2ray(self, label, config):
        config["log"] = {"loglevel": "warning"}
        self.spawn(label, "v2ray", "-config",
                   self.file(label + ".json", config))

    def start(self):
        *ports, self.front = free_ports(3)
        users = [str(uuid.uuid4()) for _ in ports]
        self.spawn_v2ray("relay", self.portal(ports, users))
        self.listens(*ports)
        self.spawn_v2ray("rig", self.bridge(self.vmess(ports[1], users[1], "relay")))
        self.spawn_v2ray("laptop", {
            "inbounds": [{"listen": "127.0.0.1", "port": self.front,
                          "protocol": "dokodemo-door",
                          "settings": {"address": "127.0.0.1",
                                       "port": self.service,
                                       "network": "tcp"}}],
            "outbounds": [self.vmess(ports[0], users[0], "relay")]})
        self.listens(self.front)


class Shadowsocks(System):
    name = "shadowsocks"
    what = "shadowsocks-libev (no relay, no NAT)"
    needs = {"ss-server": "shadowsocks-libev",
             "ss-tunnel": "shadowsocks-libev"}

    def start(self):
        server, self.front = free_ports(2)
        both = ["-s", "127.0.0.1", "-p", server, "-k", "secret", "-m",
                "aes-256-gcm"]
        self.spawn("rig", "ss-server", *both)
        self.spawn("laptop", "ss-tunnel", *both, "-b", "127.0.0.1", "-l",
                   self.front, "-L", f"127.0.0.1:{self.service}")
        self.listens(server, self.front)


class Stunnel(System):
    name = "stunnel"
    what = "stunnel: TLS (no relay, no NAT)"
    needs = {"stunnel": "stunnel4", "openssl": "openssl"}

    def start(self):
        server, self.front = free_ports(2)
        key, cert = self.path("key.pem"), self.path("cert.pem")
        self.run("openssl", "req", "-x509", "-nodes", "-newkey", "ec",
                 "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj",
                 "/CN=rig", "-days", "2", "-keyout", key, "-out", cert)
        own = "foreground = yes\nsyslog = no\npid =\n[way]\n"
        self.spawn("rig", "stunnel", self.file(
            "rig.conf", f"{own}accept = 127.0.0.1:{server}\n"
            f"connect = 127.0.0.1:{self.service}\ncert = {cert}\n"
            f"key = {key}\n"))
        self.spawn("laptop", "stunnel", self.file(
            "laptop.conf", f"{own}client = yes\n"
            f"accept = 127.0.0.1:{self.front}\n"
            f"connect = 127.0.0.1:{server}\nCAfile = {cert}\n"
            "verifyPeer = yes\n"))
        self.listens(server, self.front)


class Frp(System):
    """Its own TLS to the server is on, as it is by itself; what lies within
    is open to the server."""
    name = "frp"
    what = "frp: stcp and a visitor"
    needs = {"frps": "frp", "frpc": "frp"}
    variable = "RIGWAY_FRP"

    def start(self):
        relay, self.front = free_ports(2)
        token = 'auth.token = "token"\n'
        client = (f'serverAddr = "127.0.0.1"\nserverPort = {relay}\n{token}')
        secret = 'type = "stcp"\nsecretKey = "secret"\n'
        self.spawn("relay", "frps", "-c", self.file(
            "frps.toml",
            f'bindAddr = "127.0.0.1"\nbindPort = {relay}\n{token}'))
        self.listens(relay)
        self.spawn("rig", "frpc", "-c", self.file(
            "rig.toml", f'{client}[[proxies]]\nname = "desk"\n{secret}'
            f'localIP = "127.0.0.1"\nlocalPort = {self.service}\n'))
        self.spawn("laptop", "frpc", "-c", self.file(
            "laptop.toml", f'{client}[[visitors]]\nname = "lap"\n{secret}'
            'serverName = "desk"\nbindAddr = "127.0.0.1"\n'
            f'bindPort = {self.front}\n'))
        self.listens(self.front)


class Rathole(System):
    """Encrypts nothing unless told to, and has no part on the laptop."""
    name = "rathole"
    what = "rathole, plain (no part on the laptop)"
    needs = {"rathole": "rathole"}
    variable = "RIGWAY_RATHOLE"

    def start(self):
        relay, self.front = free_ports(2)
        token = 'token = "token"\n'
        self.spawn("relay", "rathole", self.file(
            "server.toml", f'[server]\nbind_addr = "127.0.0.1:{relay}"\n'
            f'[server.services.desk]\n{token}'
            f'bind_addr = "127.0.0.1:{self.front}"\n'))
        self.listens(relay)
        self.spawn("rig", "rathole", self.file(
            "client.toml", f'[client]\nremote_addr = "127.0.0.1:{relay}"\n'
            f'[client.services.desk]\n{token}'
            f'local_addr = "127.0.0.1:{self.service}"\n'))
        self.listens(self.front)


class Chisel(System):
    """SSH over WebSocket from both ends; what lies within is open to the
    server."""
    name = "chisel"
    what = "chisel: reverse and forward"
    needs = {"chisel": "chisel"}
    variable = "RIGWAY_CHISEL"

    def start(self):
        relay, reverse, self.front = free_ports(3)
        auth = ["--auth", "user:secret"]
        client = ["chisel", "client", *auth, f"http://127.0.0.1:{relay}"]
        self.spawn("relay", "chisel", "server", *auth, "--host", "127.0.0.1",
                   "--port", relay, "--reverse")
        self.listens(relay)
        self.spawn("rig", *client,
                   f"R:127.0.0.1:{reverse}:127.0.0.1:{self.service}")
        self.listens(reverse)
        self.spawn("laptop", *client,
                   f"127.0.0.1:{self.front}:127.0.0.1:{reverse}")
        self.listens(self.front)
