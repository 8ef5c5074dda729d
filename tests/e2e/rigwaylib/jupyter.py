# SPDX-License-Identifier: MIT
"""Debian's Jupyter Notebook, and a client for its kernels. As a program:

  jupyter.py HOST:PORT TOKEN CODE      runs CODE in a new kernel over its
                                       WebSocket and prints what it printed
  jupyter.py --keep HOST:PORT TOKEN    the same for each line of its input (code
                                       as JSON), in one kernel, over one
                                       WebSocket
"""
import json
import sys
import uuid

TOKEN = "9f2c7d41e8a05b36"


def start(home, port, token=TOKEN, ip="127.0.0.1"):
    from .poll import wait_for
    work = home.path("notebooks")
    import os
    os.makedirs(work, exist_ok=True)
    p = home.start(
        "/usr/bin/jupyter-notebook", "--allow-root", "--no-browser",
        f"--ip={ip}", f"--port={port}", "--port-retries=0",
        f"--NotebookApp.token={token}", f"--notebook-dir={work}",
        name="jupyter", env={
            "JUPYTER_CONFIG_DIR": home.path("jcfg"),
            "JUPYTER_DATA_DIR": home.path("jdata"),
            "JUPYTER_RUNTIME_DIR": home.path("jrun")})
    wait_for(lambda: home.exec(
        "curl", "-fsS", "-m", "2", f"http://{ip}:{port}/api").rc == 0,
        60, "jupyter answers")
    p.work = work
    return p


class Kernel:
    """A new kernel and the WebSocket to it."""

    def __init__(self, base, token):
        import requests
        import websocket
        self.requests = requests
        self.headers = {"Authorization": f"token {token}"}
        self.url = f"http://{base}/api/kernels"
        k = requests.post(self.url, headers=self.headers,
                          json={"name": "python3"}, timeout=30).json()
        self.id = k["id"]
        self.ws = websocket.create_connection(
            f"ws://{base}/api/kernels/{self.id}/channels",
            header=[f"Authorization: token {token}"], timeout=90)

    def execute(self, code):
        mid = uuid.uuid4().hex
        self.ws.send(json.dumps({
            "header": {"msg_id": mid, "msg_type": "execute_request",
                       "username": "t", "session": uuid.uuid4().hex,
                       "version": "5.3", "date": ""},
            "parent_header": {}, "metadata": {}, "channel": "shell",
            "content": {"code": code, "silent": False, "store_history": False,
                        "user_expressions": {}, "allow_stdin": False}}))
        out = ""
        while True:
            m = json.loads(self.ws.recv())
            if m["parent_header"].get("msg_id") != mid:
                continue
            if m["msg_type"] == "stream":
                out += m["content"]["text"]
            if (m["msg_type"] == "status"
                    and m["content"]["execution_state"] == "idle"):
                return out

    def close(self):
        self.ws.close()
        r = self.requests.delete(f"{self.url}/{self.id}", headers=self.headers,
                                 timeout=30)
        assert r.status_code == 204, r.status_code


def execute(base, token, code):
    k = Kernel(base, token)
    out = k.execute(code)
    k.close()
    return out


def keep(base, token):
    k = Kernel(base, token)
    for i, line in enumerate(sys.stdin):
        print(i + 1, json.dumps(k.execute(json.loads(line))), flush=True)
    k.close()


if __name__ == "__main__":
    if sys.argv[1] == "--keep":
        keep(*sys.argv[2:])
    else:
        sys.stdout.write(execute(*sys.argv[1:4]))
