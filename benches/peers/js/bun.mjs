// `Bun.serve`, which is uWebSockets, as its documentation does an echo; with `deflate` it compresses, by one compressor for all.
const compress = process.argv[2] === 'deflate';
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response('expected a WebSocket', { status: 426 });
  },
  websocket: {
    perMessageDeflate: compress,
    // A message is dropped when more than this waits for its peer; by default 1 MiB, which is one message of a case of ours.
    backpressureLimit: 64 << 20,
    message(ws, message) {
      ws.send(message, compress);
    },
  },
});

console.log(`listening on ws://127.0.0.1:${server.port}/`);
