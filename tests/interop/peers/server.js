// Node's `ws` as an echo server, on a free port; with `deflate` it compresses, from 0 bytes on. Prints `listening on ws://HOST:PORT/`, runs until stopped.
"use strict";
const { WebSocketServer } = require("ws");

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: process.argv[2] === "deflate" && { threshold: 0 } }, () => {
  console.log(`listening on ws://127.0.0.1:${server.address().port}/`);
});
server.on("connection", (ws) => {
  ws.on("message", (data, isBinary) => ws.send(data, { binary: isBinary }));
  ws.on("error", (error) => console.error(error.message));
});
