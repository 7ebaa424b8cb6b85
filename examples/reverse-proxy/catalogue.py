"""The catalogue and the stock: Python's standard library. It trusts the identity headers, since only Bekci reaches it."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Catalogue(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        told = {
            "from": "python",
            "asked": f"{self.command} {self.path}",
            "by": self.headers.get("X-Auth-Key"),
            "roles": self.headers.get("X-Auth-Roles"),
        }
        body = (json.dumps(told) + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Catalogue).serve_forever()
