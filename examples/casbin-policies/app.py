"""The newsroom: answers every request with what it asked and who asked. It trusts the identity headers, since only Bekci reaches it."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Newsroom(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        who = self.headers.get("X-Auth-Key", "nobody")
        tenant = self.headers.get("X-Auth-Tenant", "no tenant")
        body = f"{self.command} {self.path} by {who} at {tenant}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Newsroom).serve_forever()
