//! Who may what is the admin's: by its token, or, where there is none, from this machine alone.

use std::net::SocketAddr;

use axum::{body::Body, extract::ConnectInfo};
use framecast::handshake::OriginPolicy;
use framecast_hub::{Proxies, Secret, Server};
use tower_service::Service;

use crate::support::*;

const ROUTES: [&str; 7] = [
    "GET /rooms",
    "GET /stats",
    "GET /metrics",
    "POST /broadcast",
    "POST /broadcast/r",
    "POST /users/ada/messages",
    "DELETE /users/ada",
];

/// catalogue: HS-91
#[tokio::test]
async fn with_a_token_who_has_another_or_none_is_told_401() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    for line in ROUTES {
        for header in [
            "",
            "Authorization: Bearer\r\n",
            "Authorization: Bearer \r\n",
            "Authorization: Bearer adm1n-t0ke\r\n",
            "Authorization: Bearer adm1n-t0kenx\r\n",
            "Authorization: Bearer ADM1N-T0KEN\r\n",
            "Authorization: Basic adm1n-t0ken\r\n",
            "Authorization: adm1n-t0ken\r\n",
            "Authorization: Bearer x\r\nAuthorization: Bearer adm1n-t0ken\r\n",
        ] {
            let answer = running.http(line, header, "1").await;
            let wanted = (401, Some("text/plain; charset=utf-8"), "Unauthorized\n");
            assert_eq!(answer.seen(), wanted, "{line} {header}");
            assert_eq!(answer.header("www-authenticate"), Some("bearer"), "{line}");
        }
        for header in ["Authorization: bearer adm1n-t0ken\r\n", "authorization: BEARER adm1n-t0ken\r\n"] {
            assert_eq!(running.http(line, header, "1").await.status, 200, "{line} {header}");
        }
        // A token in the URL is in everybody's logs: it is not looked at.
        let in_query = line.to_owned() + "?token=adm1n-t0ken";
        assert_eq!(running.http(&in_query, "", "1").await.status, 401, "{line}");
    }
    assert_eq!(running.metric("framecast_refused_total{reason=\"admin\"}").await, 7 * 10);
}

/// The challenge's case, which [`Answer`] does not keep · RFC 6750 §3
#[tokio::test]
async fn the_challenge_is_bearer() {
    let running = Running::of(hub(|hub| hub), with_admin).await;
    let mut peer = running.raw().await;
    peer.send(&request("GET /stats", running.addr, "", "")).await;
    let answer = String::from_utf8(peer.rest().await).expect("it is text");
    assert!(answer.contains("\r\nwww-authenticate: Bearer\r\n"), "{answer}");
}

/// catalogue: HS-92
#[tokio::test]
async fn without_a_token_only_this_machine_itself_is_let_in() {
    let running = Running::of(hub(|hub| hub), |server| server).await;
    let port = running.addr.port();
    for line in ROUTES {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "[::1]"] {
            for host in [host.to_owned(), format!("{host}:{port}")] {
                let answer = running.send(&request(line, &host, "", "1")).await;
                assert_eq!(answer.status, 200, "{line} {host}");
            }
        }
        for header in [
            "Forwarded: for=127.0.0.1\r\n",
            "X-Forwarded-For: 127.0.0.1\r\n",
            "X-Forwarded-Proto: https\r\n",
            "X-Forwarded-Host: localhost\r\n",
            "x-forwarded-for:\r\n",
            "X-Real-IP: 127.0.0.1\r\n",
            "Via: 1.1 proxy\r\n",
        ] {
            let answer = running.http(line, header, "1").await;
            let why = "for this machine alone, as there is no admin token\n";
            assert_eq!(answer.seen(), (403, Some("text/plain; charset=utf-8"), why), "{line} {header}");
        }
        for host in ["example.com", "localhost.example.com", "127.0.0.1.example.com", "0.0.0.0", "10.0.0.1"] {
            let answer = running.send(&request(line, host, "", "1")).await;
            assert_eq!(answer.status, 403, "{line} {host}");
        }
        let twice = running.http(line, "Host: localhost\r\n", "1").await;
        assert_eq!(twice.status, if line.starts_with("GET") { 403 } else { 400 }, "{line}");
        let hostless = format!("{line} HTTP/1.0\r\nContent-Length: 1\r\n\r\n1");
        let hostless = running.send(hostless.as_bytes()).await;
        assert_eq!(hostless.status, if line.starts_with("GET") { 403 } else { 400 }, "{line}");
    }
}

/// One that passes on no more than the `Host` that a client made up.
#[tokio::test]
async fn without_a_token_a_trusted_proxy_of_this_machine_is_not_this_machine() {
    let proxies = Proxies::new(["127.0.0.1"]).expect("it is an address");
    let running = Running::of(hub(|hub| hub), |server| server.proxies(proxies)).await;
    for line in ROUTES {
        let answer = running.send(&request(line, "localhost", "", "1")).await;
        assert_eq!(answer.status, 403, "{line}");
    }
}

/// From another machine, which a test on this one is not: by the router, and what it is told of the peer.
#[tokio::test]
async fn without_a_token_another_machine_is_told_403_whatever_it_calls_us() {
    let asked = |peer: Option<&str>, host: &str| {
        let request = http::Request::get("/stats").header("Host", host).body(Body::empty());
        let mut request = request.expect("it is a request");
        if let Some(peer) = peer {
            let peer: SocketAddr = peer.parse().expect("it is an address");
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        request
    };
    let mut local = Server::builder(hub(|hub| hub)).build().router();
    let mut with_token = with_admin(Server::builder(hub(|hub| hub))).build().router();
    for (peer, host, wanted) in [
        (Some("127.0.0.1:1"), "localhost", 200),
        (Some("[::1]:1"), "localhost", 200),
        (Some("[::ffff:127.0.0.1]:1"), "localhost", 200),
        (Some("192.0.2.1:1"), "localhost", 403),
        (Some("[2001:db8::1]:1"), "127.0.0.1", 403),
        (Some("10.0.0.1:1"), "localhost", 403),
        // Whoever serves the router has not said who asks.
        (None, "localhost", 403),
    ] {
        let answer = local.call(asked(peer, host)).await.expect("a router answers");
        assert_eq!(answer.status(), wanted, "{peer:?} {host}");
        let mut request = asked(peer, "hub.example.com");
        request.headers_mut().insert("authorization", format!("Bearer {ADMIN}").parse().expect("ASCII"));
        let answer = with_token.call(request).await.expect("a router answers");
        assert_eq!(answer.status(), 200, "the token does from anywhere: {peer:?}");
    }
}

/// catalogue: HS-80, HS-81, HS-82
#[tokio::test]
async fn what_changes_something_is_not_for_pages_of_another_origin() {
    let addr_of_page = |running: &Running| format!("http://{}", running.addr);
    for terms in [(|server| server) as fn(framecast_hub::ServerBuilder) -> _, with_admin] {
        let running = Running::of(hub(|hub| hub), terms).await;
        let own = addr_of_page(&running);
        for line in ROUTES {
            let changes = !line.starts_with("GET");
            for (origin, is_own) in [
                ("https://elsewhere.example", false),
                ("null", false),
                ("http://localhost:1", false),
                (&own, true),
            ] {
                let more = format!("Origin: {origin}\r\nAuthorization: Bearer {ADMIN}\r\n");
                let answer = running.http(line, &more, "1").await;
                let wanted = if changes && !is_own { 403 } else { 200 };
                assert_eq!(answer.status, wanted, "{line} {origin}");
                // Nor may a page of another origin read what it is told.
                assert_eq!(answer.header("access-control-allow-origin"), None);
            }
            assert_eq!(running.admin(line, "1").await.status, 200, "no browser asks: {line}");
        }
        assert_eq!(running.metric("framecast_refused_total{reason=\"origin\"}").await, 4 * 3);
    }
}

#[tokio::test]
async fn origins_that_are_named_may_change_something() {
    let named = OriginPolicy::list(["https://admin.example.com"]).expect("it is an origin");
    let running =
        Running::of(hub(|hub| hub), |server| server.origins(named).admin_token(Secret::new(ADMIN))).await;
    let with = |origin: &str| format!("Origin: {origin}\r\nAuthorization: Bearer {ADMIN}\r\n");
    let own = format!("http://{}", running.addr);
    for (origin, wanted) in
        [("https://admin.example.com", 200), ("http://admin.example.com", 403), (&own, 403)]
    {
        assert_eq!(running.http("POST /broadcast", &with(origin), "1").await.status, wanted, "{origin}");
    }
}
