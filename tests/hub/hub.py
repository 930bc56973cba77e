"""A JupyterHub and the kernels of its users, through their REST and websocket APIs. Imported by drive.py."""

import asyncio
import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from struct import unpack_from
from typing import Any

from machine import wait_for
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

TOKEN = uuid.uuid4().hex


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Hub:
    """A JupyterHub with a proxy of its own, and its REST API."""

    def __init__(self, folder: Path, proxy: str) -> None:
        ports = [free_port() for _ in range(3)]
        self.url = f"http://127.0.0.1:{ports[0]}"
        (folder / "config.py").write_text(
            f"c.JupyterHub.bind_url = {self.url!r}\n"
            f"c.JupyterHub.hub_port = {ports[1]}\n"
            f"c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{ports[2]}'\n"
            f"c.ConfigurableHTTPProxy.command = [{proxy!r}]\n"
            "c.JupyterHub.authenticator_class = 'dummy'\n"
            "c.Authenticator.allow_all = True\n"
            f"c.JupyterHub.services = [{{'name': 'driver', 'api_token': {TOKEN!r}, 'admin': True}}]\n"
            "c.JupyterHub.load_roles = [{'name': 'driver', 'services': ['driver'],"
            " 'scopes': ['admin:users', 'admin:servers', 'access:servers']}]\n"
            f"c.Spawner.cmd = [{sys.executable!r}, '-m', 'jupyterhub.singleuser']\n"
            "c.Spawner.start_timeout = 180\n"
            "c.Spawner.http_timeout = 120\n"
            "c.JupyterHub.concurrent_spawn_limit = 4\n"
        )
        with (folder / "hub.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", "config.py"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if not wait_for(self.answers, 60):
            raise TimeoutError((folder / "hub.log").read_text()[-3000:])

    def answers(self) -> bool:
        try:
            return bool(self.api("GET", "/hub/api/info"))
        except OSError:
            return False

    def api(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            headers={"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
            data=None if body is None else json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            said = answer.read()
        return json.loads(said) if said else None

    def start(self, user: str) -> None:
        self.api("POST", f"/hub/api/users/{user}")
        try:
            self.api("POST", f"/hub/api/users/{user}/server")
        except urllib.error.HTTPError as error:
            if error.code not in (201, 202, 400):
                raise
        ready = lambda: (self.api("GET", f"/hub/api/users/{user}")["servers"].get("") or {}).get("ready")  # noqa: E731
        if not wait_for(ready, 180):
            raise TimeoutError(f"{user}'s server isn't ready")

    def stop(self, user: str) -> None:
        """End a user's server as the hub does when its owner leaves, or when idle ones are culled."""
        self.api("DELETE", f"/hub/api/users/{user}/server")


class Kernel:
    """A kernel of a user's, in which cells are run one after the other."""

    def __init__(self, hub: Hub, user: str) -> None:
        self.hub, self.user = hub, user
        self.id = hub.api("POST", f"/user/{user}/api/kernels", {"name": "python3"})["id"]

    def end(self) -> None:
        self.hub.api("DELETE", f"/user/{self.user}/api/kernels/{self.id}")

    async def run(self, cells: list[str]) -> list[str]:
        """Run cells; return what each printed. Raises RuntimeError for one that raised."""
        address = f"{self.hub.url.replace('http', 'ws')}/user/{self.user}/api/kernels/{self.id}/channels"
        channel = await websocket_connect(HTTPRequest(address, headers={"Authorization": f"token {TOKEN}"}))
        printed = []
        for cell in cells:
            message = uuid.uuid4().hex
            await channel.write_message(json.dumps(_execute(message, cell)))
            said = ""
            while True:
                text = await asyncio.wait_for(channel.read_message(), 240)
                if text is None:
                    raise RuntimeError(f"{self.user}'s kernel hung up at {cell[:60]!r}")
                answer = json.loads(_words(text))
                if answer["parent_header"].get("msg_id") != message:
                    continue
                kind, content = answer["msg_type"], answer["content"]
                if kind == "stream":
                    said += content["text"]
                if kind == "error":
                    raise RuntimeError(
                        f"{self.user}: {content['ename']}: {content['evalue']} in {cell[:200]!r}"
                    )
                if kind == "status" and content["execution_state"] == "idle":
                    break
            printed.append(said)
        channel.close()
        return printed


def _words(frame: str | bytes) -> str | bytes:
    """Return the JSON of a message: one with buffers is binary, and begins with a table of offsets."""
    if isinstance(frame, str):
        return frame
    _, begin, end = unpack_from(">3I", frame)
    return frame[begin:end]


def _execute(message: str, cell: str) -> dict[str, Any]:
    header = {
        "msg_id": message,
        "msg_type": "execute_request",
        "username": "",
        "session": "driver",
        "version": "5.3",
    }
    content = {
        "code": cell,
        "silent": False,
        "store_history": True,
        "user_expressions": {},
        "allow_stdin": False,
    }
    return {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
