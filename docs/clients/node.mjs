import WebSocket from "ws";

const [url, token, room] = process.argv.slice(2); // ws://127.0.0.1:8000/ws s3cret news
const ws = new WebSocket(`${url}?token=${token}`);
ws.on("open", () => ws.send(JSON.stringify({ type: "subscribe", room })));
ws.on("message", (message) => {
  console.log(message.toString());
  const { payload } = JSON.parse(message);
  if (payload?.type === "ping") ws.send(JSON.stringify({ type: "pong" }));
});
