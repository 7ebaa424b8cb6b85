"""An SMTP server on aiosmtpd for tests: keeps each message as a file and does as its settings say.

The settings are one JSON file, read again for each message, so that a test can change them while it runs.
"""

import asyncio
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Handler:
    def __init__(self, folder, settings):
        self.folder = folder
        self.settings = settings
        self.count = 0

    def now(self):
        with open(self.settings, encoding="utf-8") as file:
            return json.load(file)

    async def handle_RCPT(self, server, session, envelope, address, options):
        refuse = self.now().get("refuse")
        if refuse:
            return refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        now = self.now()
        with open(os.path.join(self.folder, "attempts"), "a", encoding="utf-8") as file:
            file.write("x")
        await asyncio.sleep(now.get("delay", 0))
        if now.get("drop"):
            server.transport.abort()
            return "451 dropped"
        self.count += 1
        name = os.path.join(self.folder, f"{os.getpid()}-{self.count:06}.json")
        message = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "data": envelope.content.decode("utf-8", "replace"),
            "tls": server.transport.get_extra_info("ssl_object") is not None,
            "user": getattr(session, "sent_by", None),
        }
        with open(name + ".part", "w", encoding="utf-8") as file:
            json.dump(message, file)
        os.rename(name + ".part", name)
        return "250 OK"


def main():
    port, folder, settings = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    handler = Handler(folder, settings)
    now = handler.now()
    options = {"hostname": "127.0.0.1", "port": port}
    if now.get("cert"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(now["cert"], now["key"])
        if now.get("wrapped"):
            options["ssl_context"] = context
        else:
            options["tls_context"] = context
            options["require_starttls"] = True
    if now.get("user"):

        def check(server, session, envelope, mechanism, data):
            right = data.login == now["user"].encode() and data.password == now["password"].encode()
            if right:
                session.sent_by = data.login.decode()
            return AuthResult(success=right, handled=False)

        options["authenticator"] = check
        options["auth_required"] = True
        options["auth_require_tls"] = bool(now.get("cert")) and not now.get("wrapped")

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    wrapped = options.pop("ssl_context", None)
    host, port = options.pop("hostname"), options.pop("port")
    factory = lambda: SMTP(handler, hostname="localhost", loop=loop, **options)
    loop.run_until_complete(loop.create_server(factory, host, port, ssl=wrapped))
    loop.run_forever()


main()
