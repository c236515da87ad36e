"""What Neutron's L3 agent is to keepalived-state-change: a socket with a backlog of 5, one
request per connection, read by one recv, answered with the agent's bytes."""

import os
import socketserver
import sys
import time

REPLY = (
    b"HTTP/1.1 200 OK\n"
    b"Content-Type: text/plain; charset=UTF-8\n"
    b"Connection: close\n"
    b"Content-Location': http://127.0.0.1/"
)


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        request = self.request.recv(4096)
        now = time.monotonic_ns()
        lines = request.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines if ": " in line)
        # Names of headers mean the same in any case; Neutron's Python client writes small ones.
        headers = {name.lower(): value for name, value in pairs}
        router = headers["x-neutron-router-id"]
        state = headers["x-neutron-state"]
        # In one piece: there are other threads.
        os.write(1, f"{now} {router} {state}\n".encode())
        self.request.sendall(REPLY)


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


path = sys.argv[1]
if os.path.exists(path):
    os.unlink(path)
with Server(path, Handler) as server:
    os.write(1, b"listening\n")
    server.serve_forever()
