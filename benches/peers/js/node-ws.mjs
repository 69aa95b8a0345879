// `ws` on Node.js, as its README does an echo. Compression is off by default; with `deflate` it is on, without context takeover,
// all else as its defaults are (from 1 KiB on). The largest message is 100 MiB.
import { WebSocketServer } from 'ws';

const perMessageDeflate =
  process.argv[2] === 'deflate' && { serverNoContextTakeover: true, clientNoContextTakeover: true };
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate });

server.on('listening', () => console.log(`listening on ws://127.0.0.1:${server.address().port}/`));
server.on('connection', (ws) => {
  // The load ends its connections with a reset.
  ws.on('error', () => {});
  ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
});
