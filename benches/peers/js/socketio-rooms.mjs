// socket.io on Node.js, its rooms as its documentation has them: a socket joins, and what it sends goes to all who are in the
// room, the sender too. Its defaults: no compression.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const http = createServer();
const io = new Server(http);

io.on('connection', (socket) => {
  socket.on('join', (room, joined) => {
    socket.join(room);
    joined();
  });
  socket.on('message', (room, payload) => io.to(room).emit('message', payload));
});
http.listen(0, '127.0.0.1', () => console.log(`listening on ws://127.0.0.1:${http.address().port}/`));
