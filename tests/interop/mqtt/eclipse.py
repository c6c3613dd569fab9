"""Eclipse Paho's Python client through the listeners of natsmqtt in argv[1], a JSON object of URLs by scheme."""

import json
import queue
import sys
import threading
import traceback
from urllib.parse import urlsplit

from paho.mqtt.client import Client, MQTTv5, MQTTv31, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

PATIENCE = 60


def connect(scheme, url, version):
    """A client that is connected, and the queue of what it hears."""
    transport = "websockets" if scheme.startswith("ws") else "tcp"
    client = Client(CallbackAPIVersion.VERSION2, client_id=f"paho-{scheme}-{version}", protocol=version, transport=transport)
    if scheme.endswith("s") and scheme != "ws":
        client.tls_set("cert.pem")
    if transport == "websockets":
        client.ws_set_options(path="/mqtt")
    heard, ready = queue.Queue(), threading.Event()
    client.on_message = lambda _client, _data, message: heard.put((message.topic, message.payload, message.qos))
    client.on_subscribe = lambda *_args: ready.set()
    client.on_connect = lambda client, _data, _flags, reason, _properties: (
        client.subscribe("paho/#", 2) if not reason.is_failure else None
    )
    place = urlsplit(url)
    client.connect(place.hostname, place.port)
    client.loop_start()
    assert ready.wait(PATIENCE), "no SUBACK"
    return client, heard


def every_qos(scheme, url, version):
    client, heard = connect(scheme, url, version)
    for qos in (0, 1, 2):
        payload = bytes([qos]) * 70_000
        client.publish("paho/a", payload, qos=qos).wait_for_publish(PATIENCE)
        assert heard.get(timeout=PATIENCE) == ("paho/a", payload, qos)
    client.disconnect()
    client.loop_stop()


failed = 0
for scheme, url in json.loads(sys.argv[1]).items():
    for name, version in (("3.1", MQTTv31), ("3.1.1", MQTTv311), ("5", MQTTv5)):
        try:
            every_qos(scheme, url, version)
            print(f"ok mqtt paho {scheme} {name}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED mqtt paho {scheme} {name}: {' '.join(traceback.format_exc().splitlines()[-3:])}", flush=True)
sys.exit(1 if failed else 0)
