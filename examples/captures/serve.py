"""A web server for make.sh: one page, no name or version of anything in its answers."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"<!doctype html><title>ring3</title><p>Hello from the other end of the veth pair.</p>\n"


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "example"
    sys_version = ""

    def do_GET(self):
        body = PAGE * (120 if self.path == "/long" else 1)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer((sys.argv[1], 80), Page).serve_forever()
