//! From a request to a connection: tokens, client ids, routes; and what is refused before it is one.

use std::time::Duration;

use framecast::CloseCode;
use framecast_hub::{Addresses, BuildError, Clock, Hub, Limits, Proxies, Rate, RouteError, Server};
use tokio::time::timeout;

use crate::support::*;

const PLAIN: Option<&str> = Some("text/plain; charset=utf-8");

async fn of_tokens() -> Running {
    Running::of(hub(|hub| hub.tokens(tokens())), with_admin).await
}

#[tokio::test]
async fn a_token_is_taken_from_header_subprotocol_or_query_in_this_order() {
    let running = of_tokens().await;
    let (bearer, protocol) = ("Authorization: Bearer ", "Sec-WebSocket-Protocol: framecast, bearer.");
    for (target, more, user_id) in [
        ("/ws?token=ada-token", String::new(), "ada"),
        ("/ws?x=1&token=ada%2Dtoken", String::new(), "ada"),
        ("/ws", format!("{bearer}ada-token\r\n"), "ada"),
        ("/ws", format!("{protocol}ada-token\r\n"), "ada"),
        ("/ws?token=bob-token", format!("{bearer}ada-token\r\n{protocol}bob-token\r\n"), "ada"),
        ("/ws?token=bob-token", format!("{protocol}ada-token\r\n"), "ada"),
        // The admin's own says nothing about a user.
        ("/ws?token=bob-token", format!("{bearer}{ADMIN}\r\n"), "bob"),
    ] {
        let mut peer = running.raw().await;
        peer.send(&upgrade(target, running.addr, &more)).await;
        let head = peer.head().await;
        assert_eq!(status(&head), 101, "{head}");
        let is_chosen = head.contains("\r\nsec-websocket-protocol: framecast\r\n");
        assert_eq!(is_chosen, more.contains("framecast"), "{head}");
        assert!(!head.contains("-token"), "{head}");
        let welcome = peer.next_text().await;
        assert_eq!(field(&welcome, "user_id"), user_id, "{target} {more}");
    }
}

#[tokio::test]
async fn a_client_that_offers_the_token_alone_is_let_in_without_a_subprotocol() {
    let running = of_tokens().await;
    let mut peer = running.raw().await;
    peer.send(&upgrade("/ws", running.addr, "Sec-WebSocket-Protocol: bearer.ada-token\r\n")).await;
    let head = peer.head().await;
    assert!(status(&head) == 101 && !head.contains("sec-websocket-protocol"), "{head}");
    assert_eq!(field(&peer.next_text().await, "user_id"), "ada");
}

#[tokio::test]
async fn a_token_may_come_as_the_first_message() {
    let running = of_tokens().await;
    let mut ws = running.enter("/ws").await;
    say(&ws, r#"{"type":"subscribe","id":1,"room":"r"}"#).await;
    let refused = r#"{"type":"error","id":1,"code":"unauthorized","message":"send `auth` first"}"#;
    assert_eq!(hear(&mut ws).await, refused);
    say(&ws, r#"{"type":"auth","id":2,"token":"ada-token"}"#).await;
    let known = r#"{"type":"authenticated","id":2,"user_id":"ada","expires_at":null}"#;
    assert_eq!(hear(&mut ws).await, known);
    say(&ws, r#"{"type":"subscribe","room":"r"}"#).await;
    assert!(hear(&mut ws).await.starts_with(r#"{"type":"subscribed""#));
}

/// A browser cannot read the status of an upgrade that fails · catalogue: DS-05
#[tokio::test]
async fn who_has_no_valid_token_in_time_is_closed_with_4001() {
    let mut limits = Limits::default();
    limits.auth_within = Duration::from_millis(100);
    let running = Running::of(hub(|hub| hub.tokens(tokens()).limits(limits)), |server| server).await;
    for path in ["/ws", "/ws?token=wrong", "/ws?token="] {
        let mut ws = running.open(path).await;
        let welcome = hear(&mut ws).await;
        assert!(welcome.contains(r#""user_id":null,"#) && welcome.contains(r#""resume":null,"#), "{welcome}");
        if path != "/ws" {
            let error =
                r#"{"type":"error","id":null,"code":"unauthorized","message":"the token is not known"}"#;
            assert_eq!(hear(&mut ws).await, error);
        }
        let wanted = (CloseCode(4001), "no valid token in time".to_owned());
        assert_eq!(closed(&mut ws).await, wanted, "{path}");
    }
}

#[tokio::test]
async fn who_upgrades_with_the_admins_token_has_the_admins_methods() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let ask = running.ask("/ws").header("authorization", format!("Bearer {ADMIN}")).expect("it is a header");
    let (mut admin, mut other) = (open(ask).await, running.enter("/ws").await);
    hear(&mut admin).await;
    for ws in [&admin, &other] {
        say(ws, r#"{"jsonrpc":"2.0","method":"rooms.list","id":1}"#).await;
    }
    assert_eq!(hear(&mut admin).await, r#"{"jsonrpc":"2.0","result":{"rooms":[]},"id":1}"#);
    let refused = hear(&mut other).await;
    assert!(refused.contains(r#""error":{"code":-32000,"#) && refused.contains("forbidden"), "{refused}");
}

#[tokio::test]
async fn a_client_id_is_percent_decoded_taken_over_and_nobody_elses() {
    let running = Running::start().await;
    let mut first = running.open("/ws/my%20phone%2F%C3%A9").await;
    let welcome = hear(&mut first).await;
    assert_eq!(field(&welcome, "client_id"), "my phone/é");
    let resume = field(&welcome, "resume");

    for stranger in ["", "?resume=", "?resume=wrong"] {
        let mut stranger = running.open(&format!("/ws/my%20phone%2f%c3%a9{stranger}")).await;
        let wanted = (CloseCode(4003), "client_id is somebody else's".to_owned());
        assert_eq!(closed(&mut stranger).await, wanted);
    }
    say(&first, r#"{"type":"ping"}"#).await;
    assert!(hear(&mut first).await.contains("pong"), "it has lost nothing by that");

    let mut second = running.open(&format!("/ws/my%20phone%2F%C3%A9?resume={resume}")).await;
    assert_eq!(field(&hear(&mut second).await, "resume"), resume);
    assert_eq!(closed(&mut first).await, (CloseCode(4009), "connected again elsewhere".to_owned()));

    for wrong in ["x".repeat(65), "a%00b".to_owned(), "%7f".to_owned()] {
        let mut wrong = running.open(&format!("/ws/{wrong}")).await;
        assert_eq!(closed(&mut wrong).await, (CloseCode(4003), "client_id is not valid".to_owned()));
    }
}

#[tokio::test]
async fn a_users_client_id_is_the_users() {
    let running = of_tokens().await;
    let mut first = running.enter("/ws/phone?token=ada-token").await;
    let mut bob = running.open("/ws/phone?token=bob-token").await;
    assert_eq!(closed(&mut bob).await, (CloseCode(4003), "client_id is somebody else's".to_owned()));
    let _second = running.enter("/ws/phone?token=ada-token").await;
    assert_eq!(closed(&mut first).await, (CloseCode(4009), "connected again elsewhere".to_owned()));
}

#[tokio::test]
async fn routes_subscribe_who_connects_by_them() {
    let hub = hub(|hub| {
        let hub =
            hub.route("/ws/chat/{room}", "chat:{room}").route("/live/{sport}/{match}", "{sport}:{match}");
        hub.route("/ws/lobby", "lobby").route("/ws", "everybody")
    });
    let running = Running::of(hub, |server| server).await;
    for (path, room) in [
        ("/ws/chat/tea", "chat:tea"),
        ("/ws/chat/a%20b%2Fc?x=1", "chat:a b/c"),
        ("/live/football/42", "football:42"),
        ("/ws/lobby", "lobby"),
        ("/ws", "everybody"),
    ] {
        let mut ws = running.enter(path).await;
        let subscribed = hear(&mut ws).await;
        assert!(
            subscribed.starts_with(&format!(r#"{{"type":"subscribed","room":"{room}","#)),
            "{subscribed}"
        );
    }
    // A wildcard is nobody's to bring in by a path.
    for path in ["/live/football", "/live/football/", "/ws/chat/", "/live/football/*", "/live/%ff/1"] {
        assert_eq!(running.http(&format!("GET {path}"), "", "").await.status, 404, "{path}");
    }
}

/// A route by one of them would be of no use, and is refused.
#[tokio::test]
async fn a_path_of_the_servers_own_is_no_route() {
    let running = of_tokens().await;
    for path in [
        "/",
        "/health",
        "/ready",
        "/metrics",
        "/rooms",
        "/stats",
        "/broadcast",
        "/broadcast/tea",
        "/users/ada",
        "/users/ada/messages",
        "/framecast.js",
        "/page/style.css",
        "/page/app.js",
        "/page/log.js",
        "/page/plot.js",
        "/page/icon.svg",
    ] {
        assert_ne!(running.http(&format!("GET {path}"), "", "").await.status, 404, "{path}");
        let refused = Hub::builder().route(path, "tea").build().map(drop);
        assert_eq!(refused.err(), Some(BuildError::Route(RouteError::Taken(path.to_owned()))), "{path}");
    }
}

/// catalogue: HS-80, HS-90
#[tokio::test]
async fn a_page_of_another_origin_is_told_403() {
    let running = of_tokens().await;
    for origin in ["https://elsewhere.example", "null", "http://localhost:1", "file://"] {
        let more = format!("Origin: {origin}\r\n");
        let answer = running.send(&upgrade("/ws?token=ada-token", running.addr, &more)).await;
        assert_eq!(answer.seen(), (403, PLAIN, "origin is not allowed (RFC 6455 §10.2)\n"), "{origin}");
    }
    assert_eq!(running.metric("framecast_refused_total{reason=\"origin\"}").await, 4);
    assert_eq!(running.metric("framecast_connections").await, 0);
    let ask = running.ask("/ws?token=ada-token").header("origin", format!("http://{}", running.addr));
    hear(&mut open(ask.expect("it is a header")).await).await;
}

/// A name of the attacker's that leads to this machine (DNS rebinding): its page is of the same origin as what it asks for.
#[tokio::test]
async fn a_hub_without_tokens_is_asked_for_by_this_machines_own_names() {
    let open = Running::of(hub(|hub| hub), with_admin).await;
    let (with_tokens, said_so) =
        (of_tokens().await, Running::of(hub(|hub| hub.allow_anonymous(true)), with_admin).await);
    let rebound = |running: &Running| {
        let text = String::from_utf8(upgrade("/ws", running.addr, "Origin: http://evil.example\r\n"));
        let text =
            text.expect("it is text").replace(&format!("Host: {}", running.addr), "Host: evil.example");
        assert!(text.contains("Host: evil.example\r\n"), "{text}");
        text.into_bytes()
    };
    let refused = open.send(&rebound(&open)).await;
    let why = "nobody is asked for a token here, so this is for this machine alone, by its own names\n";
    assert_eq!(refused.seen(), (403, PLAIN, why));
    assert_eq!(open.metric("framecast_refused_total{reason=\"host\"}").await, 1);
    for running in [&with_tokens, &said_so] {
        let mut peer = running.raw().await;
        peer.send(&rebound(running)).await;
        assert_eq!(status(&peer.head().await), 101);
    }
}

/// How connections end that the hub itself does not close.
#[tokio::test]
async fn each_end_is_counted_by_its_cause() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    for (cause, bytes) in [
        ("protocol", &b"\x81\x01a"[..]),
        ("protocol", b"\xc1\x80\0\0\0\0"),
        ("invalid_data", b"\x81\x81\0\0\0\0\xff"),
        ("too_big", b"\x81\xff\0\0\0\0\0\x20\0\0\0\0\0\0"),
        ("client", b"\x88\x82\0\0\0\0\x03\xe8"),
        ("eof", b""),
    ] {
        let name = format!("framecast_ended_total{{cause=\"{cause}\"}}");
        let before = running.metric(&name).await;
        let mut peer = running.raw().await;
        peer.send(&upgrade("/ws", running.addr, "")).await;
        assert_eq!(status(&peer.head().await), 101);
        peer.send(bytes).await;
        drop(peer);
        running.metric_becomes(&name, before + 1).await;
    }
}

/// A hub where an address has these, behind a proxy on this machine.
async fn behind_a_proxy(handshakes: Rate, connections_max: usize) -> Running {
    let addresses = Addresses::new(handshakes, connections_max, true, &Clock::system());
    let proxies = Proxies::new(["127.0.0.1"]).expect("it is an address");
    let hub = hub(|hub| hub.addresses(addresses));
    Running::of(hub, |server| with_admin(server).proxies(proxies)).await
}

/// catalogue: DS-40, HS-92
#[tokio::test]
async fn an_address_that_comes_too_fast_is_told_429_and_when_to_come_back() {
    // None comes back within the test.
    let running = behind_a_proxy(Rate { per_second: 1, burst: 2 }, 100).await;
    let ask = async |client: &str| {
        let more = format!("X-Forwarded-For: 198.51.100.9, {client}\r\n");
        let mut peer = running.raw().await;
        peer.send(&upgrade("/ws", running.addr, &more)).await;
        (peer.head().await, peer)
    };
    let mut open = Vec::new();
    for client in ["203.0.113.7", "2001:db8::1"] {
        for _ in 0..2 {
            let (head, peer) = ask(client).await;
            assert_eq!(status(&head), 101, "{client}");
            open.push(peer);
        }
    }
    for client in ["203.0.113.7", "203.0.113.7:4711", "2001:db8::2"] {
        let (head, mut peer) = ask(client).await;
        let answer = Answer::new(&[head.as_bytes(), &peer.rest().await].concat());
        assert_eq!((answer.status, answer.header("content-type")), (429, PLAIN), "{client}");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("connection"), Some("close"));
        let millis = answer.body.strip_prefix("too many handshakes, try again in ").expect(&answer.body);
        let millis = millis.strip_suffix(" ms\n").and_then(|millis| millis.parse().ok()).unwrap_or(0);
        assert!((1..=1000).contains(&millis), "{}", answer.body);
    }
    for client in ["203.0.113.8", "2001:db8:0:1::1"] {
        assert_eq!(status(&ask(client).await.0), 101, "{client} is somebody else");
    }
    assert_eq!(running.metric("framecast_refused_total{reason=\"address_rate\"}").await, 3);
}

/// catalogue: DS-40
#[tokio::test]
async fn an_address_with_as_many_connections_as_it_may_have_is_told_429() {
    let running = behind_a_proxy(Rate { per_second: 1000, burst: 1000 }, 2).await;
    let ask = || running.ask("/ws").header("x-forwarded-for", "203.0.113.7").expect("it is a header");
    let (first, _second) = (open(ask()).await, open(ask()).await);
    let request = upgrade("/ws", running.addr, "X-Forwarded-For: 203.0.113.7\r\n");
    let refused = running.send(&request).await;
    assert_eq!(refused.seen(), (429, PLAIN, "an address has 2 connections at most\n"));
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert_eq!(running.metric("framecast_refused_total{reason=\"address_connections\"}").await, 1);
    drop(first);
    // Its place is free a moment after its socket is.
    let again = async {
        loop {
            let mut peer = running.raw().await;
            peer.send(&request).await;
            if status(&peer.head().await) == 101 {
                return;
            }
        }
    };
    timeout(SOON, again).await.expect("there is room again");
}

#[tokio::test]
async fn an_address_that_no_trusted_proxy_tells_is_not_believed() {
    let addresses = Addresses::new(Rate { per_second: 1, burst: 1 }, 1, false, &Clock::system());
    let running = Running::of(hub(|hub| hub.addresses(addresses)), with_admin).await;
    let _first = running.enter("/ws").await;
    let request =
        upgrade("/ws", running.addr, "X-Forwarded-For: 203.0.113.7\r\nForwarded: for=203.0.113.7\r\n");
    assert_eq!(running.send(&request).await.status, 429, "it is this machine still");
}

/// catalogue: HS-53
#[tokio::test]
async fn a_full_server_says_503_and_when_to_come_back() {
    let engine = Server::engine().connections_max(Some(2)).build().expect("it can be");
    let running = Running::of(hub(|hub| hub), |server| with_admin(server).engine(engine)).await;
    let _in = (running.enter("/ws").await, running.enter("/ws").await);
    let refused = running.send(&upgrade("/ws", running.addr, "")).await;
    assert_eq!(refused.seen(), (503, PLAIN, "Service Unavailable\n"));
    let after: u32 =
        refused.header("retry-after").and_then(|after| after.parse().ok()).expect("it is a number");
    assert!((1..=60).contains(&after), "{after}");
    assert_eq!(running.metric("framecast_refused_total{reason=\"full\"}").await, 1);
    assert_eq!(running.http("GET /ready", "", "").await.status, 200, "who is in is served");
}

/// hyper has read the head: what it lets pass is looked at again, and nothing behind it is taken for a request
/// · catalogue: HS-40, HS-43, HS-45, HS-70
#[tokio::test]
async fn heads_that_two_could_read_differently_are_refused() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let smuggled = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for more in [
        "Host: localhost\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 42\r\nContent-Length: 42\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Content-Length: -1\r\n",
        "Transfer-Encoding: xchunked\r\n",
    ] {
        let mut peer = running.raw().await;
        let input = [&upgrade("/ws", running.addr, more)[..], smuggled].concat();
        peer.send(&input).await;
        let answer = String::from_utf8(peer.rest().await).expect("it is text");
        assert!(answer.is_empty() || status(&answer) == 400, "{more}: {answer}");
        assert!(!answer.contains("ok\n"), "{more}: {answer}");
    }
    assert_eq!(running.metric("framecast_upgrades_total").await, 0);
}

#[tokio::test]
async fn a_query_that_says_something_twice_is_told_400() {
    let running = Running::start().await;
    for target in ["/ws?token=a&token=b", "/ws?resume=a&resume=b", "/ws?token=%ff&token=x"] {
        assert_eq!(running.send(&upgrade(target, running.addr, "")).await.status, 400, "{target}");
    }
}
