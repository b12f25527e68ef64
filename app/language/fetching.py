"""Fetches a page that a person names, without becoming their hand inside our own network.

Every hop of every redirect is checked like the first: its scheme, its port, its host's addresses, all of which must be
public, and its robots.txt. The connection goes to the very address that was checked, so a name that changes its mind
between check and connection gains nothing. Time and size are limited in total, proxies of the environment are not used.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from app.errors import InvalidUpload, Reason
from app.language import addresses, robots

AGENT = "SecretRaceStrolling"
USER_AGENT = f"{AGENT}/1.0 (membership inference lab; fetches single pages; honours robots.txt)"
MAX_URL = 2_000
CHUNK = 1 << 16
MOVED = frozenset({301, 302, 303, 307, 308})
PORTS = {"http": 80, "https": 443}
SAFE = "%/:=&?~+!$,;'@()*[]-._"
Resolve = Callable[[str, int, float], list[str]]
Allow = Callable[[str], bool]


@dataclass(frozen=True)
class FetchLimits:
    """What one page may take, its redirects and robots.txt included."""

    seconds: float = 20.0
    bytes: int = 4 << 20
    redirects: int = 5
    ports: frozenset[int] = frozenset(PORTS.values())
    types: frozenset[str] = frozenset({"text/html", "application/xhtml+xml", "text/plain"})


@dataclass(frozen=True)
class Page:
    """What was fetched."""

    url: str
    """Where it was found in the end."""
    type: str
    """Its media type, in lower case."""
    charset: str
    """As its server names it; empty if it does not."""
    content: bytes


@dataclass(frozen=True)
class _Answer:
    status: int
    location: str
    type: str
    charset: str
    content: bytes


def fetch(
    url: str,
    limits: FetchLimits | None = None,
    *,
    resolve: Resolve = addresses.resolve,
    allow: Allow = addresses.is_public,
) -> Page:
    """The page at an address. Raises InvalidUpload, which says in words why there is none.

    `resolve` gives the addresses of a host, and `allow` says which of them may be connected to.
    """
    limits = limits or FetchLimits()
    errand = _Errand(limits, resolve, allow, time.monotonic() + limits.seconds)
    for _ in range(limits.redirects + 1):
        errand.check_robots(url)
        answer = errand.get(url, limits.bytes, limits.types)
        if answer.status not in MOVED or not answer.location:
            break
        url = urljoin(url, answer.location)
    else:
        raise _refusal(f"A page takes at most {limits.redirects} redirects.", url, "Give the address it ends at.")
    if answer.status != 200:
        raise _refusal("The page exists and anybody may read it.", f"its server answers {answer.status}")
    return Page(url, answer.type, answer.charset, answer.content)


@dataclass
class _Errand:
    """One page's way, with what is left of its time."""

    limits: FetchLimits
    resolve: Resolve
    allow: Allow
    end: float
    known: dict[str, list[robots.Rule]] = field(default_factory=dict)
    """The rules of each site that was asked."""

    def left(self) -> float:
        """The seconds that are left. Raises InvalidUpload when there are none."""
        seconds = self.end - time.monotonic()
        if seconds <= 0:
            raise _refusal(f"A page takes at most {self.limits.seconds:g} seconds.", "it took longer")
        return seconds

    def check_robots(self, url: str) -> None:
        """Raises InvalidUpload if the site asks robots to leave the page alone."""
        parts = self._checked(url)
        site = f"{parts.scheme}://{parts.netloc}"
        if site not in self.known:
            self.known[site] = self._rules(f"{site}/robots.txt")
        if not robots.allows(self.known[site], _target(parts)):
            raise _refusal("The site lets robots read the page.", "its robots.txt forbids it", "Choose another page.")

    def _rules(self, url: str) -> list[robots.Rule]:
        """Those of a robots.txt; none if there is no such file, and everything if its server is in trouble."""
        for _ in range(self.limits.redirects + 1):
            answer = self.get(url, robots.MAX_BYTES, None)
            if answer.status not in MOVED or not answer.location:
                break
            url = urljoin(url, answer.location)
        if answer.status == 200:
            return robots.rules(answer.content.decode("utf-8", "replace"), AGENT)
        return [robots.Rule("/", False)] if answer.status >= 500 else []

    def get(self, url: str, most: int, types: frozenset[str] | None) -> _Answer:
        """One request, without following redirects; without `types`, a longer answer is cut instead of refused."""
        parts = self._checked(url)
        try:
            with self._connected(parts) as connection:
                connection.request(
                    "GET",
                    _target(parts),
                    headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", "Connection": "close"},
                )
                answer = self._read(connection.getresponse(), most, types)
        except (OSError, HTTPException, ValueError) as error:
            # The deadline cuts the connection, which looks like any other broken one.
            found = ascii(str(error))[1:100] if self.left() else ""
            raise _refusal("The page can be fetched.", found or type(error).__name__) from error
        # What the deadline cut can look like a whole answer.
        self.left()
        return answer

    def _checked(self, url: str) -> SplitResult:
        rule = "The address is that of a public page: http:// or https://, a host, no user, no password."
        if len(url) > MAX_URL or not url.isprintable() or any(character in url for character in " \\"):
            raise _refusal(rule, f"{len(url):,} characters, or blanks among them")
        try:
            parts = urlsplit(url)
            port = parts.port or PORTS.get(parts.scheme, 0)
        except ValueError as error:
            raise _refusal(rule, ascii(str(error))[1:100]) from error
        if parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc:
            raise _refusal(rule, ascii(parts.scheme)[1:20] + "://…")
        if port not in self.limits.ports:
            raise _refusal(f"The port is {' or '.join(map(str, sorted(self.limits.ports)))}.", str(port))
        return parts

    @contextmanager
    def _connected(self, parts: SplitResult) -> Iterator[HTTPConnection]:
        """A connection to an address that was checked, which is cut when the time is over."""
        host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
        found = self.resolve(host.encode("idna").decode(), port, self.left())
        if not found or not all(map(self.allow, found)):
            rule = "The page is on the public internet: none of its host's addresses is private, local or reserved."
            raise _refusal(rule, ascii(host)[1:100], "Paste the text instead.")
        line = _line(found, port, self.left())
        if parts.scheme == "https":
            context = ssl.create_default_context()
            line = context.wrap_socket(line, server_hostname=host, do_handshake_on_connect=False)
        connection = HTTPConnection(host, port, timeout=self.left())
        connection.default_port = PORTS[parts.scheme]
        connection.sock = line
        cut = threading.Timer(self.left(), _cut, [line])
        cut.daemon = True
        cut.start()
        try:
            if isinstance(line, ssl.SSLSocket):
                line.do_handshake()
            yield connection
        finally:
            cut.cancel()
            connection.close()

    def _read(self, response: HTTPResponse, most: int, types: frozenset[str] | None) -> _Answer:
        headers, status = response.headers, response.status
        kind, charset = headers.get_content_type(), headers.get_content_charset("")
        location = headers.get("Location", "")
        if status != 200:
            return _Answer(status, location, kind, charset, b"")
        if types is not None and kind not in types:
            raise _refusal(f"A page is of the type {' or '.join(sorted(types))}.", ascii(kind)[1:60])
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise _refusal("The page is sent as it is.", f"encoded as {ascii(headers['Content-Encoding'])[1:40]}")
        content = bytearray()
        while len(content) <= most and (chunk := response.read(min(CHUNK, most + 1 - len(content)))):
            content += chunk
        if response.length and len(content) <= most:
            raise _refusal("The page arrives whole.", f"{response.length:,} bytes are missing")
        if len(content) > most and types is not None:
            raise _refusal(f"A page has at most {most / 1e6:.1f} MB.", "it has more")
        return _Answer(status, location, kind, charset, bytes(content[:most]))


def _line(found: list[str], port: int, seconds: float) -> socket.socket:
    """A line to the first of the addresses that answers."""
    end = time.monotonic() + seconds
    trouble = OSError("no address")
    for address in found:
        try:
            return socket.create_connection((address, port), timeout=max(0.01, end - time.monotonic()))
        except OSError as error:
            trouble = error
    raise trouble


def _cut(line: socket.socket) -> None:
    """End a connection under the hands of whoever waits for it."""
    try:
        socket.socket.shutdown(line, socket.SHUT_RDWR)
    except OSError:
        # It has ended by itself.
        return


def _target(parts: SplitResult) -> str:
    """What follows the host in the request, with everything beyond ASCII quoted."""
    query = f"?{parts.query}" if parts.query else ""
    return quote((parts.path or "/") + query, safe=SAFE)


def _refusal(rule: str, found: str, fix: str = "Give another address, or paste the text.") -> InvalidUpload:
    return InvalidUpload([Reason(rule, found, fix)])
