//! Tokens are in no log line, at no level, and in no answer: neither good ones nor bad ones, however they came.

use framecast_hub::{Secret, Stop};
use tokio::time::timeout;
use tracing::level_filters::LevelFilter;

use crate::{log::Log, support::*};

/// catalogue: HS-91
#[tokio::test]
async fn tokens_are_in_no_log_line_and_in_no_answer() {
    let log = Log::at(LevelFilter::TRACE);
    let hub = hub(|hub| {
        hub.tokens(tokens()).method("whoami", |context, _| async move {
            tracing::info!(?context, "asked");
            Ok::<_, framecast_hub::RpcError>(context.user_id().map(ToOwned::to_owned))
        })
    });
    let mut running = Running::of(hub, |server| server.admin_token(Secret::new(ADMIN))).await;
    let mut answers = String::new();
    for token in ["ada-token", "wr0ng-token", "eyJhbGciOiJub25lIn0.wr0ng-token.", "%FFwr0ng-token"] {
        for (target, more) in [
            (format!("/ws?token={token}"), String::new()),
            (format!("/ws/me-{}?resume={token}", answers.len()), String::new()),
            ("/ws".to_owned(), format!("Authorization: Bearer {token}\r\n")),
            ("/ws".to_owned(), format!("Sec-WebSocket-Protocol: framecast, bearer.{token}\r\n")),
            // Refused before it is a connection.
            (format!("/ws?token={token}"), "Origin: https://elsewhere.example\r\n".to_owned()),
            (format!("/ws?token={token}&token={token}"), String::new()),
            (format!("/ws?token={token}"), "Sec-WebSocket-Version: 8\r\n".to_owned()),
            (format!("/nowhere?token={token}"), format!("Authorization: Bearer {token}\r\n")),
            (format!("/stats?token={token}"), format!("Authorization: Bearer {token}\r\n")),
        ] {
            let mut peer = running.raw().await;
            peer.send(&upgrade(&target, running.addr, &more)).await;
            let head = peer.head().await;
            answers += &head;
            if status(&head) == 101 {
                peer.text(&format!(r#"{{"type":"auth","token":"{token}"}}"#)).await;
                peer.text(r#"{"jsonrpc":"2.0","method":"whoami","id":1}"#).await;
                peer.text(&format!(r#"{{"type":"auth","token":["{token}"]}}"#)).await;
                peer.text(&format!(r#"{{"type":"{token}"}}"#)).await;
                peer.text(&format!(r#"{{"type":"auth","token":"{token}""#)).await;
                let mut heard = String::new();
                while !heard.contains("bad_json") || !heard.contains("\"id\":1}") {
                    heard += &timeout(SOON, peer.next_text()).await.expect("each is answered");
                }
                answers += &heard;
                peer.send(&close(1000, "")).await;
            }
            peer.half_close().await;
            answers += &String::from_utf8_lossy(&peer.rest().await);
        }
        running.http("GET /rooms", &format!("Authorization: Bearer {token}\r\n"), "").await;
    }
    running.admin("POST /broadcast", "1").await;
    running.stop(Stop::Now);
    running.ended().await;

    let log = log.text();
    for wanted in ["upgrade refused", "asked", "stopping"] {
        assert!(log.contains(wanted), "nothing was listened to: {log}");
    }
    for secret in ["ada-token", "wr0ng-token", "eyJhbGciOiJub25lIn0", ADMIN] {
        assert!(!log.contains(secret), "{secret}: {log}");
        assert!(!answers.contains(secret), "{secret}: {answers}");
    }
    let debugged = format!("{:?} {:?}", running.server, running.server.hub());
    assert!(!debugged.contains("ada-token") && !debugged.contains(ADMIN), "{debugged}");
}
