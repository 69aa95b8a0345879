//! The application's methods, and what becomes of a connection whose application panics.

use std::sync::Arc;

use framecast::CloseCode;
use framecast_hub::{HubBuilder, Incoming, RpcError};
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};

use crate::support::*;

/// Tells when it is dropped.
struct Guard(mpsc::UnboundedSender<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

fn panics(hub: HubBuilder) -> HubBuilder {
    hub.method("at once", |_, _| -> std::future::Ready<Result<(), RpcError>> {
        panic!("of the application's")
    })
    .method("later", |_, _| async {
        tokio::task::yield_now().await;
        if true {
            panic!("of the application's");
        }
        Ok::<_, RpcError>(())
    })
    .method("add", |_, params| async move {
        let (a, b): (i32, i32) = params.parse()?;
        Ok::<_, RpcError>(a + b)
    })
}

/// catalogue: DS-53
#[tokio::test]
async fn a_method_that_panics_is_an_internal_error_and_the_connection_lives() {
    let running = Running::of(hub(panics), with_admin).await;
    let mut ws = running.enter("/ws").await;
    for method in ["at once", "later"] {
        say(&ws, &format!(r#"{{"jsonrpc":"2.0","method":"{method}","id":"{method}"}}"#)).await;
        let wanted = format!(
            r#"{{"jsonrpc":"2.0","error":{{"code":-32603,"message":"internal error"}},"id":"{method}"}}"#
        );
        assert_eq!(hear(&mut ws).await, wanted);
    }
    say(&ws, r#"{"jsonrpc":"2.0","method":"add","params":[1,2],"id":3}"#).await;
    assert_eq!(hear(&mut ws).await, r#"{"jsonrpc":"2.0","result":3,"id":3}"#);
    // A notification is not answered, whatever becomes of it; a batch is, as a whole.
    say(&ws, r#"{"jsonrpc":"2.0","method":"later"}"#).await;
    let add = r#"{"jsonrpc":"2.0","method":"add","params":[3,4],"id":4}"#;
    say(&ws, &format!(r#"[{add},{{"jsonrpc":"2.0","method":"at once","id":5}}]"#)).await;
    let batch = hear(&mut ws).await;
    let (sum, failed) = (
        r#"{"jsonrpc":"2.0","result":7,"id":4}"#,
        r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"internal error"},"id":5}"#,
    );
    assert!([format!("[{sum},{failed}]"), format!("[{failed},{sum}]")].contains(&batch), "{batch}");
    assert_eq!(running.metric("framecast_connections").await, 1);
}

#[tokio::test]
async fn calls_end_with_their_connection_however_that_ends() {
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let (begun, mut begins) = mpsc::unbounded_channel();
    let hub = hub(|hub| {
        hub.tokens(tokens()).method("forever", move |_, _| {
            let (guard, begun) = (Guard(dropped.clone()), begun.clone());
            async move {
                let _guard = guard;
                begun.send(()).expect("the test waits");
                std::future::pending::<Result<(), RpcError>>().await
            }
        })
    });
    let running = Running::of(hub, with_admin).await;
    for way in ["a close", "a drop", "the admin", "a reset"] {
        let mut peer = running.raw().await;
        peer.send(&upgrade("/ws?token=ada-token", running.addr, "")).await;
        peer.head().await;
        peer.next_text().await;
        for id in 0..3 {
            peer.text(&format!(r#"{{"jsonrpc":"2.0","method":"forever","id":{id}}}"#)).await;
            timeout(SOON, begins.recv()).await.expect("it begins");
        }
        assert!(drops.try_recv().is_err(), "it is under way");
        match way {
            "a close" => peer.send(&close(1000, "")).await,
            "a drop" => drop(peer),
            "the admin" => {
                assert_eq!(running.admin("DELETE /users/ada", "").await.status, 200);
                assert_eq!(peer.next_close().await, 4003);
                peer.send(&close(4003, "")).await;
            }
            _ => peer.reset(),
        }
        for _ in 0..3 {
            timeout(SOON, drops.recv()).await.expect(way);
        }
    }
    running.metric_becomes("framecast_connections", 0).await;
}

#[tokio::test]
async fn a_slow_method_holds_nothing_up() {
    let release = Arc::new(Notify::new());
    let hub = hub(|hub| {
        let release = release.clone();
        hub.method("slow", move |_, _| {
            let release = release.clone();
            async move {
                release.notified().await;
                Ok::<_, RpcError>("done")
            }
        })
    });
    let running = Running::of(hub, with_admin).await;
    let (mut ws, other) = (running.inside("r").await, running.enter("/ws").await);
    say(&ws, r#"{"jsonrpc":"2.0","method":"slow","id":1}"#).await;
    say(&ws, r#"{"type":"ping","id":2}"#).await;
    assert!(hear(&mut ws).await.starts_with(r#"{"type":"pong","id":2,"#));
    say(&other, r#"{"type":"message","room":"r","payload":"meanwhile"}"#).await;
    assert!(hear(&mut ws).await.contains(r#""payload":"meanwhile""#));
    release.notify_one();
    assert_eq!(hear(&mut ws).await, r#"{"jsonrpc":"2.0","result":"done","id":1}"#);
}

/// What a hook does to itself is its connection's end, and nobody else's · catalogue: DS-53
#[tokio::test]
async fn a_hook_that_panics_ends_its_connection_with_1011_and_no_other() {
    let hub = hub(|hub| {
        hub.on_message(|_, incoming| match incoming {
            Incoming::Message { payload, .. } if payload.get() == "\"boom\"" => {
                panic!("of the application's")
            }
            _ => Ok(()),
        })
    });
    let running = Running::of(hub, with_admin).await;
    let (mut bad, mut good) = (running.inside("r").await, running.inside("r").await);
    say(&bad, r#"{"type":"message","room":"r","payload":"boom"}"#).await;
    assert_eq!(closed(&mut bad).await.0, CloseCode(1011));
    say(&good, r#"{"type":"message","id":1,"room":"r","payload":"fine"}"#).await;
    assert!([hear(&mut good).await, hear(&mut good).await].concat().contains(r#""payload":"fine""#));
    running.metric_becomes("framecast_connections", 1).await;
    assert_eq!(running.admin("GET /rooms", "").await.body, "{\"rooms\":[{\"name\":\"r\",\"members\":1}]}\n");
}
