"""The process of a fork server."""

import socket
import sys

from app.sandbox.fork_server import serve

if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), float(sys.argv[2]))
