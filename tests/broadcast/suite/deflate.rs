//! One publish for clients of different terms of permessage-deflate, decoded by zlib and nothing of ours.

use flate2::{Decompress, FlushDecompress};
use framecast::{
    Config, Message,
    broadcast::{Publish, Subscription},
    proto::Deflate,
};
use tokio::{io::AsyncReadExt, net::TcpStream};

use super::{
    peer::{Peer, REQUEST},
    server::{Server, Setup},
};

/// What a client offers, and what a server of the largest terms answers.
const OFFERS: [(&str, &str); 7] = [
    ("", ""),
    ("permessage-deflate", "permessage-deflate"),
    (
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=12",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=12",
    ),
    ("permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover"),
    (
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
    ),
    ("permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=10"),
    // Once more: the same bytes as the other one's.
    (
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=12",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=12",
    ),
];

/// A raw client with an inflater of its window.
struct Client {
    stream: TcpStream,
    bits: u8,
    takeover: bool,
    inflate: Decompress,
}

impl Client {
    async fn open(server: &Server, offer: &str, answer: &str) -> Self {
        let mut peer = Peer::new(TcpStream::connect(server.addr).await.expect("a server"));
        let mut request = REQUEST[..REQUEST.len() - 2].to_vec();
        if !offer.is_empty() {
            request.extend_from_slice(format!("Sec-WebSocket-Extensions: {offer}\r\n").as_bytes());
        }
        peer.send(&[&request[..], b"\r\n"].concat()).await;
        let head = peer.head().await;
        let answered = head.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .starts_with("sec-websocket-extensions:")
                .then(|| line[25..].trim().to_owned())
        });
        assert_eq!(answered.unwrap_or_default(), answer);
        let bits =
            answer.split_once("server_max_window_bits=").map_or(15, |(_, bits)| bits.parse().expect("bits"));
        let takeover = !answer.contains("server_no_context_takeover");
        Self { stream: peer.stream, bits, takeover, inflate: Decompress::new_with_window_bits(false, bits) }
    }

    /// The next frame: whether it is compressed, its payload on the wire, and what it says.
    async fn next(&mut self) -> (bool, Vec<u8>, Vec<u8>) {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).await.expect("open");
        assert_eq!(head[0] & 0x8f, 0x82, "one whole binary frame: {head:02x?}");
        let compressed = head[0] & 0x40 != 0;
        assert_eq!(head[0] & 0x30, 0);
        let len = match head[1] {
            126 => usize::from(self.stream.read_u16().await.expect("open")),
            127 => self.stream.read_u64().await.expect("open") as usize,
            len => usize::from(len),
        };
        let mut wire = vec![0; len];
        self.stream.read_exact(&mut wire).await.expect("open");
        if !compressed {
            return (false, wire.clone(), wire);
        }
        if !self.takeover {
            self.inflate = Decompress::new_with_window_bits(false, self.bits);
        }
        let input = [&wire[..], &[0, 0, 0xff, 0xff]].concat();
        let mut said = Vec::with_capacity(1 << 20);
        self.inflate.decompress_vec(&input, &mut said, FlushDecompress::Sync).expect("sound");
        (true, wire, said)
    }
}

/// Which message it is.
const NOISE: usize = 4;

/// More of it than a window of 12 bits holds.
fn noise(seed: u32) -> Vec<u8> {
    let mut state = seed * 2 + 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as u8
    };
    (0..5000).map(next).collect()
}

/// RFC 7692 §7.1 · catalogue: ZC-11, PD-31
#[tokio::test]
async fn one_publish_is_decoded_by_clients_of_all_terms() {
    let deflate: Deflate = "threshold=64".parse().expect("the largest terms");
    let config = Config::builder().deflate(deflate).build().expect("valid");
    let mut server = Setup { config, ..Setup::default() }.start();
    let topics = server.topics.clone();
    let mut clients = Vec::new();
    for (offer, answer) in OFFERS {
        clients.push(Client::open(&server, offer, answer).await);
        server.joined().await.subscribe("room", Subscription::new()).expect("open");
    }
    for round in 0..20u32 {
        // zlib-rs looks back further than its window where it can, so that noise says it, which is smaller only for who may look
        // back to its first half.
        let noise = noise(round);
        let words: Vec<u8> =
            (0..3000u32).flat_map(|at| format!("{} {round} ", at % 700).into_bytes()).collect();
        let messages = [
            Message::binary(words.clone()),
            Message::binary(b"short".to_vec()),
            Message::binary(vec![round as u8; 100_000]),
            Message::binary(vec![]),
            Message::binary([&noise[..], &noise].concat()),
        ];
        for (at, message) in messages.into_iter().enumerate() {
            let payload = message.as_bytes().to_vec();
            let publishing = topics.publish("room", Publish::new(message)).expect("room");
            let mut wires = Vec::new();
            for (client, (offer, _)) in clients.iter_mut().zip(OFFERS) {
                let (compressed, wire, said) = client.next().await;
                assert!(said == payload, "{offer}: {at} of {round}");
                // A context of its own is nobody else's.
                let reaches = at != NOISE || client.bits == 15;
                let expected = !offer.is_empty() && !client.takeover && payload.len() >= 64 && reaches;
                assert_eq!(compressed, expected, "{offer}: {at} of {round}");
                wires.push(wire);
            }
            assert_eq!(wires[2], wires[6]);
            assert_eq!(publishing.await.subscribers(), OFFERS.len() as u32);
        }
    }
}
