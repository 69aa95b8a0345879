import json, sys
from websockets.sync.client import connect

url, token, room = sys.argv[1:]  # ws://127.0.0.1:8000/ws s3cret news
with connect(f"{url}?token={token}") as ws:
    ws.send(json.dumps({"type": "subscribe", "room": room}))
    for message in ws:
        print(message, flush=True)
        if json.loads(message).get("payload") == {"type": "ping"}:
            ws.send(json.dumps({"type": "pong"}))
