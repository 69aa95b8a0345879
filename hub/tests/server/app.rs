//! An application's own routes beside the hub's, on its own port.

use axum::{Router, routing::get};
use framecast_hub::Server;

use crate::support::*;

fn routes(server: &Server) -> Router {
    let admins = Router::new().route("/report", get(async || "secret\n").post(async || "changed\n"));
    let everybody = Router::new().route("/", get(async || "ours\n"));
    everybody.merge(server.admins(admins)).fallback(async || "not asked\n")
}

#[tokio::test]
async fn an_applications_routes_come_before_the_hubs() {
    let server = with_admin(Server::builder(hub(|hub| hub.route("/ws/chat/{room}", "chat:{room}")))).build();
    let routes = routes(&server);
    let running = Running::bound(server, |bound| bound.app(routes)).await;
    const TEXT: Option<&str> = Some("text/plain; charset=utf-8");
    for (line, wanted) in [
        ("GET /", (200, TEXT, "ours\n")),
        ("GET /health", (200, TEXT, "ok\n")),
        ("GET /nowhere", (404, TEXT, "Not Found\n")),
        ("GET /ws", (426, TEXT, "Upgrade Required\n")),
    ] {
        assert_eq!(running.http(line, "", "").await.seen(), wanted, "{line}");
    }
    let mut ada = running.enter("/ws/chat/tea").await;
    assert!(hear(&mut ada).await.starts_with(r#"{"type":"subscribed","room":"chat:tea","members":1,"#));
    assert_eq!(running.http("GET /report", "", "").await.status, 401);
    assert_eq!(running.admin("GET /report", "").await.seen(), (200, TEXT, "secret\n"));
    let authorized = format!("Authorization: Bearer {ADMIN}\r\nOrigin: https://elsewhere.example\r\n");
    assert_eq!(running.http("GET /report", &authorized, "").await.status, 200);
    assert_eq!(running.http("POST /report", &authorized, "").await.status, 403);
}

#[tokio::test]
async fn without_a_token_an_applications_routes_for_the_admin_are_this_machines() {
    let server = Server::builder(hub(|hub| hub)).build();
    let routes = routes(&server);
    let running = Running::bound(server, |bound| bound.app(routes)).await;
    assert_eq!(running.http("GET /report", "", "").await.status, 200);
    assert_eq!(running.http("GET /report", "X-Forwarded-For: 192.0.2.1\r\n", "").await.status, 403);
}
