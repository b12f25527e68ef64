"""The options of run-srs.sh, and the address that follows from them."""

import argparse


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, or an explanation and the end."""
    parser = argparse.ArgumentParser(prog="run-srs.sh", description="Start Secret Race Strolling.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=5000, help="port to listen on (default 5000)")
    parser.add_argument(
        "--workers", type=_count, default=None, help="processes for evaluations, and as many for the lab"
    )
    parser.add_argument("--demo", action="store_true", help="fill an empty site with five teams and a played round")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError("the number of workers lies between 1 and 64")
    return int(text)


def address(options: argparse.Namespace) -> str:
    """Where this machine reaches the site."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(options.host, options.host)  # noqa: S104 (not bound here)
    return f"http://{host}:{options.port}"
