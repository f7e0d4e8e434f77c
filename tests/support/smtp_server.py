#!/usr/bin/env python3
"""A strict little SMTP server for tests, on a free port of 127.0.0.1.

usage: smtp_server.py DIRECTORY [--tls none|starttls|implicit] [--login USER:PASSWORD] [--busy N]

Writes DIRECTORY/port when it listens, and DIRECTORY/mail-K.json for each mail it took, as Python's own parser
understands it. --busy N: the first N connections are answered 421. DIRECTORY/cert.pem and key.pem are its certificate.
"""
import argparse
import asyncio
import base64
import email
import email.policy
import json
import os
import ssl


class Session:
    def __init__(self, server, reader, writer):
        self.server, self.reader, self.writer = server, reader, writer
        self.tls = server.args.tls == "implicit"
        self.reset()
        self.user, self.greeted = None, False

    def reset(self):
        self.sender, self.to = None, []

    async def say(self, *lines):
        for i, line in enumerate(lines):
            code, text = line.split(" ", 1)
            self.writer.write(f"{code}{' ' if i + 1 == len(lines) else '-'}{text}\r\n".encode())
        await self.writer.drain()

    async def line(self):
        raw = await self.reader.readline()
        if raw and not raw.endswith(b"\r\n"):
            raise ValueError("a line that does not end in CR LF")
        return raw[:-2].decode()

    async def run(self):
        if self.server.busy > 0:
            self.server.busy -= 1
            return await self.say("421 busy")
        await self.say("220 test ready")
        while True:
            line = await self.line()
            if not line:
                return
            verb, _, rest = line.partition(" ")
            if verb.upper() == "QUIT":
                return await self.say("221 bye")
            if await self.command(verb.upper(), rest) is False:
                return

    async def command(self, verb, rest):
        args = self.server.args
        if verb == "EHLO":
            self.greeted = True
            offers = ["250 test", "250 8BITMIME"]
            if args.tls == "starttls" and not self.tls:
                offers.append("250 STARTTLS")
            if args.login and (self.tls or args.tls == "none"):
                offers.append("250 AUTH PLAIN")
            return await self.say(*offers)
        if not self.greeted:
            return await self.say("503 EHLO first")
        if verb == "STARTTLS" and args.tls == "starttls" and not self.tls:
            await self.say("220 go ahead")
            await self.start_tls()
        elif verb == "AUTH" and args.login:
            await self.login(rest)
        elif verb == "MAIL" and args.login and self.user is None:
            await self.say("530 5.7.0 authentication required")
        elif verb == "MAIL" and rest.upper().startswith("FROM:<"):
            self.sender = rest[6:].split(">")[0]
            await self.say("250 ok")
        elif verb == "RCPT" and rest.upper().startswith("TO:<"):
            to = rest[4:].split(">")[0]
            if to.startswith("nobody@"):
                return await self.say("550 5.1.1 no such user")
            self.to.append(to)
            await self.say("250 ok")
        elif verb == "DATA" and self.sender and self.to:
            await self.say("354 send")
            await self.take()
            await self.say("250 taken")
        elif verb == "RSET":
            self.reset()
            await self.say("250 ok")
        else:
            await self.say("502 not understood")

    async def login(self, rest):
        kind, _, given = rest.partition(" ")
        if kind.upper() != "PLAIN":
            return await self.say("504 PLAIN only")
        if not given:
            await self.say("334 ")
            given = await self.line()
        _, user, password = base64.b64decode(given).decode().split("\0")
        if f"{user}:{password}" != self.server.args.login:
            return await self.say("535 5.7.8 wrong")
        self.user = user
        await self.say("235 welcome")

    async def start_tls(self):
        loop = asyncio.get_running_loop()
        protocol = self.writer.transport.get_protocol()
        transport = await loop.start_tls(self.writer.transport, protocol, self.server.context, server_side=True)
        self.reader._transport = transport
        self.writer = asyncio.StreamWriter(transport, protocol, self.reader, loop)
        self.tls, self.greeted = True, False

    async def take(self):
        lines = []
        while True:
            line = await self.line()
            if line == ".":
                break
            if len(line) > 998:
                raise ValueError("a line over 998 characters (RFC 5322 2.1.1)")
            lines.append(line[1:] if line.startswith(".") else line)
        mail = email.message_from_string("\r\n".join(lines) + "\r\n", policy=email.policy.SMTP)
        out = {"from": self.sender, "to": self.to, "tls": self.tls, "user": self.user,
               "subject": mail["Subject"], "header_from": mail["From"], "header_to": mail["To"],
               "date": mail["Date"].datetime.isoformat(), "id": mail["Message-ID"],
               "defects": [str(d) for d in mail.defects], "body": mail.get_content()}
        self.server.mails += 1
        path = os.path.join(self.server.args.directory, f"mail-{self.server.mails}.json")
        with open(path + ".new", "w", encoding="utf-8") as f:
            json.dump(out, f)
        os.rename(path + ".new", path)
        self.reset()


class Server:
    def __init__(self, args):
        self.args, self.busy, self.mails = args, args.busy, 0
        self.context = None
        if args.tls != "none":
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(os.path.join(args.directory, "cert.pem"),
                                         os.path.join(args.directory, "key.pem"))

    async def handle(self, reader, writer):
        session = Session(self, reader, writer)
        try:
            await session.run()
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        session.writer.close()

    async def main(self):
        context = self.context if self.args.tls == "implicit" else None
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        with open(os.path.join(self.args.directory, "port.new"), "w", encoding="utf-8") as f:
            f.write(str(port))
        os.rename(os.path.join(self.args.directory, "port.new"), os.path.join(self.args.directory, "port"))
        await server.serve_forever()


parser = argparse.ArgumentParser()
parser.add_argument("directory")
parser.add_argument("--tls", choices=["none", "starttls", "implicit"], default="none")
parser.add_argument("--login", default="")
parser.add_argument("--busy", type=int, default=0)
asyncio.run(Server(parser.parse_args()).main())
