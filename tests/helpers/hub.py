"""A Hugging Face hub on this machine, as its library asks it: one repository with a folder's files."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants as constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextlib.contextmanager
def serving(repository: str, folder: Path, cache: Path, monkeypatch) -> Iterator[list[str]]:
    """Let the hub's library ask this machine, with an empty cache; gives the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            path = self.path.partition("?")[0]
            asked.append(path)
            if path == f"/api/models/{repository}/revision/main":
                names = [{"rfilename": file.name, "size": file.stat().st_size} for file in folder.iterdir()]
                self.reply(json.dumps({"id": repository, "sha": COMMIT, "siblings": names}).encode())
            elif path == f"/api/models/{repository}/tree/{COMMIT}":
                files = [
                    {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": etag(file.read_bytes())}
                    for file in folder.iterdir()
                ]
                self.reply(json.dumps(files).encode())
            elif path.startswith(f"/{repository}/resolve/{COMMIT}/"):
                self.reply((folder / path.rpartition("/")[2]).read_bytes())
            else:
                self.reply(b"{}", 404, {"X-Error-Code": "RepoNotFound"})

        def reply(self, body, status=200, headers=None):
            self.send_response(status)
            standard = {"Content-Length": str(len(body)), "ETag": f'"{etag(body)}"', "X-Repo-Commit": COMMIT}
            for name, value in {**standard, **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
