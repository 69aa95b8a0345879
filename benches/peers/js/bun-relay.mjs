// `Bun.serve`, which is uWebSockets: its topics, as its documentation publishes to all, the sender too. With `deflate` it
// compresses.
const compress = process.argv[2] === 'deflate';
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  fetch(request, server) {
    return server.upgrade(request) ? undefined : new Response('expected a WebSocket', { status: 426 });
  },
  websocket: {
    perMessageDeflate: compress,
    open(ws) {
      ws.subscribe('all');
    },
    message(ws, message) {
      server.publish('all', message, compress);
    },
  },
});

console.log(`listening on ws://127.0.0.1:${server.port}/`);
