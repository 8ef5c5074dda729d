# SPDX-License-Identifier: MIT
"""Debian's Jupyter Notebook, and a client for its kernels. As a program:

  jupyter.py HOST:PORT TOKEN CODE      runs CODE in a new kernel over its
                                       WebSocket and prints what it printed
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


def execute(base, token, code):
    import requests
    import websocket
    h = {"Authorization": f"token {token}"}
    url = f"http://{base}/api/kernels"
    k = requests.post(url, headers=h, json={"name": "python3"},
                      timeout=30).json()
    ws = websocket.create_connection(
        f"ws://{base}/api/kernels/{k['id']}/channels",
        header=[f"Authorization: token {token}"], timeout=40)
    mid = uuid.uuid4().hex
    ws.send(json.dumps({
        "header": {"msg_id": mid, "msg_type": "execute_request",
                   "username": "t", "session": uuid.uuid4().hex,
                   "version": "5.3", "date": ""},
        "parent_header": {}, "metadata": {}, "channel": "shell",
        "content": {"code": code, "silent": False, "store_history": False,
                    "user_expressions": {}, "allow_stdin": False}}))
    out = ""
    while True:
        m = json.loads(ws.recv())
        if m["parent_header"].get("msg_id") != mid:
            continue
        if m["msg_type"] == "stream":
            out += m["content"]["text"]
        if (m["msg_type"] == "status"
                and m["content"]["execution_state"] == "idle"):
            break
    ws.close()
    r = requests.delete(f"{url}/{k['id']}", headers=h, timeout=30)
    assert r.status_code == 204, r.status_code
    return out


if __name__ == "__main__":
    sys.stdout.write(execute(*sys.argv[1:4]))
