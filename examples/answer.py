# Answers whoever asks on SUBJECT with TEXT, in place of a daemon that is not there: python3 answer.py SUBJECT TEXT
import os
import socket
import sys
from urllib.parse import urlsplit

subject, text = sys.argv[1:]
url = urlsplit(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
server = socket.create_connection((url.hostname, url.port or 4222))
lines = server.makefile("rb")
server.sendall(f'CONNECT {{"verbose":false}}\r\nSUB {subject} 1\r\n'.encode())
for line in lines:
    words = line.decode().split()
    if words[0] == "PING":
        server.sendall(b"PONG\r\n")
    elif words[0] == "MSG":
        lines.read(int(words[-1]) + 2)
        if len(words) == 5:
            server.sendall(f"PUB {words[3]} {len(text.encode())}\r\n{text}\r\n".encode())
