// `ws` on Node.js, relaying as its README does: each open client, the sender too, is sent the message. Compression as in
// node-ws.mjs.
import { WebSocket, WebSocketServer } from 'ws';

const perMessageDeflate =
  process.argv[2] === 'deflate' && { serverNoContextTakeover: true, clientNoContextTakeover: true };
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate });

server.on('listening', () => console.log(`listening on ws://127.0.0.1:${server.address().port}/`));
server.on('connection', (ws) => {
  // The load may end its connections with a reset.
  ws.on('error', () => {});
  ws.on('message', (data, isBinary) => {
    for (const client of server.clients) {
      if (client.readyState === WebSocket.OPEN) client.send(data, { binary: isBinary });
    }
  });
});
