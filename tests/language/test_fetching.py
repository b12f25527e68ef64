"""Fetching never reaches into our own network, whatever a page, a name or a server says."""

import socket
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app import sandbox
from app.errors import InvalidUpload
from app.language import addresses, fetching, robots
from app.language.fetching import FetchLimits, fetch

PRIVATE = {
    "private.test": "10.0.0.1",
    "metadata.test": "169.254.169.254",
    "loopback.test": "127.0.0.2",
    "six.test": "::1",
    "mapped.test": "::ffff:10.0.0.1",
    "shared.test": "100.64.0.1",
}
PAGE = (200, {"Content-Type": "text/html; charset=utf-8"}, b"<p>A page.</p>")


class Site:
    """A server on this machine that the tests call public."""

    def __init__(self):
        self.pages, self.asked = {"/robots.txt": (404, {}, b"")}, []
        self.is_over = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked.append((self.headers["Host"], self.path, self.headers["User-Agent"]))
                answer = site.pages.get(self.path, (404, {}, b""))
                if callable(answer):
                    answer(self)
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.resolved = []

    def url(self, path="/", host="public.test"):
        return f"http://{host}:{self.port}{path}"

    def resolve(self, host, port, seconds):
        self.resolved.append(host)
        if host == "both.test":
            return ["127.0.0.1", "192.168.0.1"]
        return [PRIVATE.get(host, "127.0.0.1")]

    def fetch(self, path="/", host="public.test", **limits):
        return self.fetch_url(self.url(path, host), **limits)

    def fetch_url(self, url, **limits):
        chosen = FetchLimits(ports=frozenset({self.port}), **limits)
        return fetch(url, chosen, resolve=self.resolve, allow=lambda address: address == "127.0.0.1")


@pytest.fixture
def site():
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    site.is_over.set()
    site.server.shutdown()
    site.server.server_close()
    thread.join()


class TestFetch:
    def test_a_page_is_fetched_from_the_address_that_was_checked(self, site):
        site.pages["/page?x=1"] = PAGE
        page = site.fetch("/page?x=1#part")
        # No system resolves this name: the connection used the answer that was checked.
        assert (page.type, page.charset, page.content) == ("text/html", "utf-8", b"<p>A page.</p>")
        assert [path for _, path, _ in site.asked] == ["/robots.txt", "/page?x=1"]

    def test_each_hop_is_resolved_once_for_each_connection(self, site):
        site.pages["/"] = PAGE
        site.fetch()
        assert len(site.resolved) == len(site.asked) == 2

    def test_it_names_itself_and_its_host(self, site):
        site.pages["/"] = PAGE
        site.fetch()
        assert site.asked[-1] == (f"public.test:{site.port}", "/", fetching.USER_AGENT)

    def test_redirects_are_followed_by_hand(self, site):
        site.pages |= {
            "/": (301, {"Location": "next"}, b""),
            "/next": (307, {"Location": site.url("/end", "other.test")}, b""),
        }
        site.pages["/end"] = PAGE
        assert site.fetch().url == site.url("/end", "other.test")

    @pytest.mark.parametrize("host", [*PRIVATE, "both.test"])
    def test_no_hop_may_lead_to_an_address_that_is_not_public(self, site, host):
        site.pages["/"] = (302, {"Location": site.url("/secret", host)}, b"")
        site.pages["/secret"] = PAGE
        with pytest.raises(InvalidUpload, match="public internet"):
            site.fetch()
        assert "/secret" not in [path for _, path, _ in site.asked]

    @pytest.mark.parametrize("host", [*PRIVATE, "both.test"])
    def test_nor_may_the_first(self, site, host):
        with pytest.raises(InvalidUpload, match="public internet"):
            site.fetch(host=host)
        assert site.asked == []

    def test_without_arguments_this_machine_is_out_of_reach(self, site):
        for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"):
            with pytest.raises(InvalidUpload, match=r"public internet|can be fetched"):
                fetch(site.url(host=host), FetchLimits(ports=frozenset({site.port}), seconds=5.0))
        assert site.asked == []

    def test_a_robots_file_may_not_lead_there_either(self, site):
        site.pages |= {"/": PAGE, "/robots.txt": (302, {"Location": site.url("/r", "metadata.test")}, b"")}
        with pytest.raises(InvalidUpload, match="public internet"):
            site.fetch()

    @pytest.mark.parametrize(
        "url",
        [
            "file:///etc/passwd",
            "ftp://public.test/",
            "gopher://public.test/",
            "//public.test/",
            "public.test",
            "http://",
            "http://user@public.test/",
            "http://user:word@public.test/",
            "http://public.test:99999/",
            "http://public.test/a b",
            "http://public.test/\r\nHost: other",
            "http://public.test\\@private.test/",
            "http://[::1/",
            "http://" + "a" * 3000,
            "",
        ],
    )
    def test_it_refuses_other_addresses(self, site, url):
        with pytest.raises(InvalidUpload, match="public page"):
            site.fetch_url(url)
        assert site.resolved == []

    @pytest.mark.parametrize("location", ["file:///etc/passwd", "http://user:word@public.test/", "ftp://public.test/"])
    def test_it_refuses_them_in_redirects(self, site, location):
        site.pages["/"] = (302, {"Location": location}, b"")
        with pytest.raises(InvalidUpload, match="public page"):
            site.fetch()

    def test_it_refuses_other_ports(self, site):
        for port in (22, 6379, site.port):
            with pytest.raises(InvalidUpload, match="80 or 443"):
                fetch(f"http://public.test:{port}/", resolve=site.resolve, allow=lambda address: True)

    def test_it_stops_after_some_redirects(self, site):
        site.pages["/"] = (302, {"Location": "/"}, b"")
        with pytest.raises(InvalidUpload, match="at most 3 redirects"):
            site.fetch(redirects=3)
        assert len(site.asked) == 5

    def test_it_refuses_a_large_page_whatever_is_declared(self, site):
        site.pages["/"] = (200, {"Content-Type": "text/html"}, b"x" * 5000)
        with pytest.raises(InvalidUpload, match="has more"):
            site.fetch(bytes=4000)

    def test_it_refuses_other_types_and_encodings(self, site):
        site.pages["/"] = (200, {"Content-Type": "application/pdf"}, b"%PDF")
        with pytest.raises(InvalidUpload, match="application/pdf"):
            site.fetch()
        site.pages["/"] = (200, {"Content-Type": "text/html", "Content-Encoding": "gzip"}, zlib.compress(b"x" * 10**6))
        with pytest.raises(InvalidUpload, match="as it is"):
            site.fetch()

    @pytest.mark.parametrize("status", [204, 401, 403, 404, 500])
    def test_it_refuses_what_is_no_page(self, site, status):
        site.pages["/"] = (status, {"Content-Type": "text/html"}, b"")
        with pytest.raises(InvalidUpload, match=str(status)):
            site.fetch()

    @pytest.mark.parametrize(
        "start", [b"", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n"]
    )
    def test_the_time_is_limited_in_total_not_for_each_byte(self, site, start):
        def drip(handler):
            handler.wfile.write(start)
            try:
                while not site.is_over.wait(0.02):
                    handler.wfile.write(b"x")
            except OSError:
                return

        site.pages["/"] = drip
        with pytest.raises(InvalidUpload, match=r"at most 0\.3 seconds"):
            site.fetch(seconds=0.3)

    def test_it_refuses_half_a_page(self, site):
        site.pages["/"] = (200, {"Content-Type": "text/html", "Content-Length": "100"}, b"<p>Half")
        with pytest.raises(InvalidUpload, match="93 bytes are missing"):
            site.fetch()

    def test_it_refuses_what_is_no_http(self, site):
        site.pages["/"] = lambda handler: handler.wfile.write(b"220 smtp ready\r\n")
        with pytest.raises(InvalidUpload, match="can be fetched"):
            site.fetch()

    def test_it_needs_a_certificate_for_https(self, site):
        with pytest.raises(InvalidUpload, match="can be fetched"):
            site.fetch_url(f"https://public.test:{site.port}/")

    def test_it_uses_no_proxy_of_the_environment(self, site, monkeypatch):
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1/")
        site.pages["/"] = PAGE
        assert site.fetch().content

    def test_a_refusal_of_the_worker_carries_its_reasons(self, tmp_path):
        limits = sandbox.Limits(memory_mb=2048, seconds=60)
        with pytest.raises(InvalidUpload, match="public internet"):
            sandbox.run(
                "app.experiments.runner:run",
                {"experiment": "web-corpus", "parameters": {"url": "http://127.0.0.1/"}, "inputs": {}, "seed": 1},
                tmp_path,
                limits,
            )


class TestRobots:
    def test_a_forbidden_page_is_not_asked_for(self, site):
        site.pages |= {"/": PAGE, "/robots.txt": (200, {}, b"User-agent: *\nDisallow: /\n")}
        with pytest.raises(InvalidUpload, match=r"robots\.txt"):
            site.fetch()
        assert [path for _, path, _ in site.asked] == ["/robots.txt"]

    def test_the_target_of_a_redirect_asks_its_own_site(self, site):
        site.pages["/"] = (302, {"Location": site.url("/closed", "other.test")}, b"")
        site.pages |= {"/closed": PAGE, "/robots.txt": (200, {}, b"User-agent: *\nDisallow: /closed\n")}
        with pytest.raises(InvalidUpload, match=r"robots\.txt"):
            site.fetch()
        assert [host for host, path, _ in site.asked if path == "/robots.txt"] == [
            f"public.test:{site.port}",
            f"other.test:{site.port}",
        ]

    def test_a_site_in_trouble_is_left_alone(self, site):
        site.pages |= {"/": PAGE, "/robots.txt": (503, {}, b"")}
        with pytest.raises(InvalidUpload, match=r"robots\.txt"):
            site.fetch()

    @pytest.mark.parametrize(
        ("text", "path", "is_allowed"),
        [
            ("", "/a", True),
            ("User-agent: *\nDisallow:", "/a", True),
            ("User-agent: *\nDisallow: /", "/a", False),
            ("User-agent: other\nDisallow: /", "/a", True),
            ("User-agent: *\nDisallow: /\n\nUser-agent: Ours\nAllow: /", "/a", True),
            ("User-agent: other\nUser-agent: ours\nDisallow: /a", "/a", False),
            ("User-agent: ours\nDisallow: /a\nUser-agent: ours\nDisallow: /b", "/b", False),
            ("User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", True),
            ("User-agent: *\nDisallow: /a\nAllow: /a", "/a", True),
            ("User-agent: *\nDisallow: /*.pdf$", "/x/y.pdf", False),
            ("User-agent: *\nDisallow: /*.pdf$", "/x/y.pdf?z", True),
            ("User-agent: *\nDisallow: /a$", "/a", False),
            ("User-agent: *\nDisallow: /a$", "/ab", True),
            ("User-agent: *\nDisallow: /a*b*c", "/axxbxxcxx", False),
            ("User-agent: *\nDisallow: /a*b*c", "/axxcxxb", True),
            ("User-agent: * # everyone\nDisallow: /a # this\nSitemap: x", "/a", False),
            ("Disallow: /", "/a", True),
            ("User-agent: *\nDisallow: /", "/robots.txt", True),
        ],
    )
    def test_rules_are_read_as_the_standard_says(self, text, path, is_allowed):
        assert robots.allows(robots.rules(text, "Ours"), path) is is_allowed


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            *("0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.0.1", "169.254.169.254"),
            *("172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1"),
            *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
            *("::", "::1", "::7f00:1", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1"),
            *("100::1", "2001::1", "2001:db8::1", "2002:a00:1::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1"),
            *("ff02::1",),
        ],
    )
    def test_these_are_not_public(self, address):
        assert not addresses.is_public(address)

    @pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700:4700::1111"])
    def test_these_are(self, address):
        assert addresses.is_public(address)

    def test_a_name_is_resolved_to_numbers_each_once(self, monkeypatch):
        answers = [(0, 0, 0, "", ("1.1.1.1", 80)), (0, 0, 0, "", ("1.1.1.1", 80)), (0, 0, 0, "", ("fe80::1%eth0", 80))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
        assert addresses.resolve("name.test", 80, 5.0) == ["1.1.1.1", "fe80::1"]

    def test_it_does_not_wait_longer_than_it_may(self, monkeypatch):
        is_over = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: is_over.wait() and [])
        with pytest.raises(TimeoutError):
            addresses.resolve("name.test", 80, 0.01)
        is_over.set()
