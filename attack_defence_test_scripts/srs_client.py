#!/usr/bin/env python3
"""Play Secret Race Strolling from the command line.

    python3 srs_client.py --url https://srs.example.org login
    python3 srs_client.py rounds
    python3 srs_client.py issue my_files.zip          (in tracks that issue something)
    python3 srs_client.py upload-defence my_defence.csv.zip --watch
    python3 srs_client.py download sets.zip
    python3 srs_client.py upload-attack my_answer.csv.zip --watch
    python3 srs_client.py leaderboard

`login` asks for username and password, or with `--token` for a token made on the site, and keeps the token in
~/.config/srs/ where only you can read it. SRS_URL and SRS_TOKEN in the environment take its place.
Needs nothing but Python 3.9.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

TRIES = 4
TIMEOUT = 60
EXIT = {"accepted": 0, "rejected": 1, "failed": 2}


class ClientError(Exception):
    """What the server or the network said, in words."""


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token goes to the server that it is for, and to no other that this one names."""

    def redirect_request(self, *arguments: Any) -> None:
        """Follow nobody."""


class Server:
    """The platform's REST API."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url, self.token = url.rstrip("/"), token
        self._opener = urllib.request.build_opener(NoRedirects)

    def get(self, path: str) -> Any:
        """A resource as JSON."""
        return json.loads(self._ask("GET", path).read())

    def post(self, path: str, values: dict[str, Any]) -> Any:
        """Send JSON, get JSON."""
        body = json.dumps(values).encode()
        return json.loads(self._ask("POST", path, body, {"Content-Type": "application/json"}).read())

    def upload(self, path: str, file: Path) -> Any:
        """Send a file, once: after a lost answer the same key makes the second try the same upload."""
        boundary = uuid.uuid4().hex
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_quoted(file.name)}"\r\n'
            "Content-Type: application/zip\r\n\r\n"
        )
        body = head.encode() + file.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        return json.loads(self._ask("POST", path, body, {"Content-Type": kind, "Idempotency-Key": boundary}).read())

    def download(self, path: str, target: Path) -> None:
        """Write a file to `target`, whole or not at all."""
        part = target.with_name(target.name + ".part")
        with self._ask("GET", path) as answer, part.open("wb") as copy:
            shutil.copyfileobj(answer, copy)
        part.replace(target)

    def _ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
        """An answer; a lost connection or a busy server is tried again when that can do no harm."""
        may_repeat = method == "GET" or "Idempotency-Key" in (headers or {})
        for pause in range(TRIES):
            try:
                return self._once(method, path, body, headers or {})
            except urllib.error.HTTPError as error:
                busy = error.code in {429, 502, 503, 504} and may_repeat and pause < TRIES - 1
                if not busy:
                    raise ClientError(_problem(error)) from error
                wait = _seconds(error.headers.get("Retry-After"), 2**pause)
                error.close()
            except OSError as error:
                if not may_repeat or pause == TRIES - 1:
                    raise ClientError(f"{self.url} does not answer: {getattr(error, 'reason', error)}") from error
                wait = 2**pause
            time.sleep(wait)
        raise ClientError(f"{self.url} does not answer.")

    def _once(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        request = urllib.request.Request(self.url + path, body, method=method)
        for name, value in {"Accept": "application/json", **headers}.items():
            request.add_header(name, value)
        if self.token:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        return self._opener.open(request, timeout=TIMEOUT)


def _quoted(name: str) -> str:
    return name.replace("\\", "_").replace('"', "_").replace("\r", "_").replace("\n", "_")


def _seconds(text: Any, default: float) -> float:
    return min(60, int(text)) if text and text.isdigit() else default


def _problem(error: urllib.error.HTTPError) -> str:
    """What an error answer says: its detail, and every field that is wrong."""
    try:
        problem = json.loads(error.read())
        lines = [str(problem.get("detail") or problem.get("title"))]
        lines += [f"  {name}: {' '.join(texts)}" for name, texts in problem.get("errors", {}).items()]
    except (ValueError, AttributeError):
        lines = [f"The server answered {error.code} {error.reason}."]
    return _plain("\n".join(lines))


def _plain(text: Any) -> str:
    """Text from the server without what a terminal would obey."""
    return "".join(letter for letter in str(text) if letter == "\n" or letter.isprintable())


# --- where the token is kept ---


def _store() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "srs" / "token.json"


def _remembered() -> dict[str, Any]:
    try:
        return json.loads(_store().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _remember(url: str, token: str) -> None:
    path = _store()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    # Readable by nobody else from its first moment on.
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"url": url, "token": token}, file)
    part.replace(path)


def connect(arguments: argparse.Namespace) -> Server:
    """The server that the arguments, the environment or the last login name."""
    kept = _remembered()
    url = arguments.url or os.environ.get("SRS_URL") or kept.get("url") or "http://127.0.0.1:5000"
    is_kept = url.rstrip("/") == str(kept.get("url", "")).rstrip("/")
    return Server(url, os.environ.get("SRS_TOKEN") or (kept.get("token", "") if is_kept else ""))


# --- the commands ---


def login(server: Server, arguments: argparse.Namespace) -> None:
    """Make a token with a password, or take one that was made on the site, and keep it."""
    if arguments.token:
        server.token = getpass.getpass("Token: ").strip()
    else:
        server.token = ""
        username = arguments.username or input("Username: ")
        asked = {"username": username, "password": getpass.getpass("Password: "), "name": arguments.name}
        server.token = server.post("/api/tokens", {**asked, "days": arguments.days})["secret"]
    me = server.get("/api/me")
    _remember(server.url, server.token)
    team = me["team"]["name"] if me["team"] else "none yet"
    print(f"Hello {_plain(me['username'])}, team: {_plain(team)}. The token is in {_store()}.")


def rounds(server: Server, arguments: argparse.Namespace) -> None:
    """List the rounds."""
    for row in server.get("/api/rounds"):
        mark, phase = "*" if row["is_current"] else " ", row["phase"]
        then = f", {phase['next_phase']} from {phase['next_change']}" if phase["next_change"] else ""
        print(_plain(f"{mark} {row['number']:>3}  {row['track']:<16} {row['title']}: {phase['label']}{then}"))


def upload_defence(server: Server, arguments: argparse.Namespace) -> int:
    """Hand in a defence."""
    return _upload(server, arguments, "/api/defences")


def upload_attack(server: Server, arguments: argparse.Namespace) -> int:
    """Hand in an attack."""
    return _upload(server, arguments, "/api/answers")


def _upload(server: Server, arguments: argparse.Namespace, path: str) -> int:
    if not arguments.file.is_file():
        raise ClientError(f"There is no file {arguments.file}.")
    upload = server.upload(path, arguments.file)
    print(f"Received as upload {upload['id']} ({upload['size']:,} bytes).")
    arguments.id = upload["id"]
    return watch(server, arguments) if arguments.watch else 0


def download(server: Server, arguments: argparse.Namespace) -> None:
    """Download the files of all opponents."""
    server.download("/api/challenge", arguments.target)
    print(f"{arguments.target}: {arguments.target.stat().st_size:,} bytes")


def issue(server: Server, arguments: argparse.Namespace) -> None:
    """Download what the round issued to your team to defend with."""
    server.download("/api/issue", arguments.target)
    print(f"{arguments.target}: {arguments.target.stat().st_size:,} bytes")


def status(server: Server, arguments: argparse.Namespace) -> int:
    """Show how far an upload is, and what it is worth."""
    upload = _find(server, arguments.id)
    _show(upload)
    return EXIT.get(upload["status"], 0)


def watch(server: Server, arguments: argparse.Namespace) -> int:
    """Follow an upload until nothing more happens."""
    upload = _find(server, arguments.id)
    while not upload["is_final"]:
        _draw(upload)
        time.sleep(arguments.every)
        upload = _find(server, arguments.id, upload["kind"])
    _draw(upload, end="\n")
    _show(upload)
    return EXIT[upload["status"]]


def _find(server: Server, identity: int, kind: str = "") -> dict[str, Any]:
    """An upload of either kind."""
    if kind != "attack":
        try:
            return server.get(f"/api/defences/{identity}")
        except ClientError as error:
            if getattr(error.__cause__, "code", 0) != 404:
                raise
    return server.get(f"/api/answers/{identity}")


def _draw(upload: dict[str, Any], end: str = "") -> None:
    width = 30
    done = round(width * upload["progress"])
    where = f"place {upload['position']} in the queue" if upload["position"] else f"{upload['progress']:4.0%}"
    bar = f"[{'#' * done}{'.' * (width - done)}] {upload['status']}, {where}"
    # A terminal redraws one line; a file gets the last state only.
    if sys.stdout.isatty():
        print(f"\r{_plain(bar):<78}", end=end, flush=True)
    elif end:
        print(_plain(bar))


def _show(upload: dict[str, Any]) -> None:
    print(f"Upload {upload['id']} ({upload['kind']}, {_plain(upload['filename'])}): {upload['status']}")
    for reason in upload["reasons"]:
        times = f" ({reason['count']} times)" if reason.get("count", 1) > 1 else ""
        print(_plain(f"  - {reason['rule']}{times}"))
        for word in ("where", "fix"):
            if reason.get(word):
                print(_plain(f"      {word}: {reason[word]}"))
    result = upload.get("result")
    if result:
        print(f"  utility {result['utility']:.3f}")
        _measures(result["metrics"])
        for one in result["references"]:
            leakage = one["status"] if one["leakage"] is None else f"leakage {one['leakage']:.3f}"
            print(_plain(f"  house, {one['adversary']}: {leakage}"))
    for part in upload.get("results", []):
        print(_plain(f"  against {part['defender']['name']}: leakage {part['leakage']:.3f}"))
        _measures(part["metrics"])


def _measures(metrics: dict[str, Any]) -> None:
    for name, estimate in metrics.items():
        print(_plain(f"      {name} {estimate['value']:.6g}"))


def leaderboard(server: Server, arguments: argparse.Namespace) -> None:
    """Print the standings."""
    board = server.get("/api/leaderboard" + (f"?round={arguments.round}" if arguments.round is not None else ""))
    print(f"Round {board['round']}{' (frozen)' if board['is_frozen'] else ''}")
    for row in board["standings"]:
        values = [row[name] for name in ("rank", "score", "utility", "worst_leakage")]
        shown = ["-" if value is None else f"{value:.3g}" for value in values]
        print(
            _plain(f"{shown[0]:>4}  {row['team']:<40} score {shown[1]:>6}  utility {shown[2]:>6}  leaks {shown[3]:>6}")
        )


def parser() -> argparse.ArgumentParser:
    """The commands and their arguments."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--url", help="address of the platform (default: $SRS_URL, or where you logged in)")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(action: Any) -> argparse.ArgumentParser:
        made = commands.add_parser(action.__name__.replace("_", "-"), help=action.__doc__)
        made.set_defaults(action=action)
        return made

    log = add(login)
    log.add_argument("--token", action="store_true", help="ask for a token instead of a password")
    log.add_argument("--username", help="asked for when left out")
    log.add_argument("--name", default="srs_client", help="what the new token is called")
    log.add_argument("--days", type=int, default=90, help="how long the new token is valid")
    add(rounds)
    for action in (upload_defence, upload_attack):
        made = add(action)
        made.add_argument("file", type=Path)
        made.add_argument("--watch", action="store_true", help="follow it to the end")
        made.add_argument("--every", type=float, default=1.0, help="seconds between two looks")
    add(issue).add_argument("target", type=Path, nargs="?", default=Path("team_files.zip"))
    add(download).add_argument("target", type=Path, nargs="?", default=Path("sets_to_attack.zip"))
    add(status).add_argument("id", type=int)
    follow = add(watch)
    follow.add_argument("id", type=int)
    follow.add_argument("--every", type=float, default=1.0, help="seconds between two looks")
    add(leaderboard).add_argument("--round", type=int, help="number of the round (default: the current one)")
    return top


def main(words: list[str] | None = None) -> int:
    """Run one command; the exit status: 0 done or accepted, 1 rejected or refused, 2 failed on the server's side."""
    arguments = parser().parse_args(words)
    try:
        return arguments.action(connect(arguments), arguments) or 0
    except ClientError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
