"""FastAPI's rooms, as its documentation has its `ConnectionManager`: a list of a room's connections, and each text to all of them.

By uvicorn with uvloop, httptools and websockets, as `uvicorn[standard]` brings them; one process."""

import socket

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

app = FastAPI()


class ConnectionManager:
    def __init__(self):
        self.rooms: dict[str, list[WebSocket]] = {}

    async def connect(self, room: str, websocket: WebSocket):
        await websocket.accept()
        self.rooms.setdefault(room, []).append(websocket)

    def disconnect(self, room: str, websocket: WebSocket):
        self.rooms[room].remove(websocket)

    async def broadcast(self, room: str, message: str):
        for connection in self.rooms[room]:
            await connection.send_text(message)


manager = ConnectionManager()


@app.websocket("/ws/{room}")
async def websocket_endpoint(websocket: WebSocket, room: str):
    await manager.connect(room, websocket)
    try:
        while True:
            data = await websocket.receive_text()
            await manager.broadcast(room, data)
    except WebSocketDisconnect:
        manager.disconnect(room, websocket)


def main():
    config = uvicorn.Config(app, loop="uvloop", http="httptools", ws="auto", log_level="warning")
    with socket.create_server(("127.0.0.1", 0), backlog=config.backlog) as listener:
        print(f"listening on ws://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
