//! JSON-RPC 2.0, by the examples of its specification and the hub's own methods.

use framecast_hub::{Params, RpcError, Visitor};

use crate::support::{Peer, World};

fn world() -> World {
    World::with(|hub| {
        hub.method("subtract", |_, params: Params| async move {
            #[derive(serde::Deserialize)]
            struct Named {
                minuend: i64,
                subtrahend: i64,
            }
            if let Ok(Named { minuend, subtrahend }) = params.parse() {
                return Ok(minuend - subtrahend);
            }
            let (minuend, subtrahend): (i64, i64) = params.parse()?;
            Ok(minuend - subtrahend)
        })
        .method("fail", |context, _| async move {
            Err::<(), _>(RpcError::new(7, "no").with_data(&context.client_id()))
        })
    })
}

fn ask<'w>(peer: &Peer<'w>, said: &str) -> String {
    let mut heard = peer.asks(said);
    assert!(heard.len() <= 1, "{heard:?}");
    heard.pop().unwrap_or_default()
}

/// JSON-RPC 2.0 §7
#[test]
fn the_specifications_examples_hold() {
    let world = world();
    let ada = world.anonymous("ada").greeted();
    let parse = r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"#;
    let invalid = r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"#;
    for (said, heard) in [
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}"#,
            r#"{"jsonrpc":"2.0","result":19,"id":1}"#,
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": "2"}"#,
            r#"{"jsonrpc":"2.0","result":-19,"id":"2"}"#,
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}"#,
            r#"{"jsonrpc":"2.0","result":19,"id":3}"#,
        ),
        (r#"{"jsonrpc": "2.0", "method": "subtract", "params": [1,2]}"#, ""),
        (r#"{"jsonrpc": "2.0", "method": "foobar"}"#, ""),
        (
            r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#,
            r#"{"jsonrpc":"2.0","error":{"code":-32601,"message":"no such method"},"id":"1"}"#,
        ),
        (r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#, parse),
        (r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#, invalid),
        (
            r#"[ {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"}, {"jsonrpc": "2.0", "method""#,
            parse,
        ),
        ("[]", invalid),
        (
            r#"[{"jsonrpc": "2.0", "method": "foobar"},{"jsonrpc": "2.0", "method": "subtract", "params": [7,1]}]"#,
            "",
        ),
    ] {
        let answer = ask(&ada, said);
        assert!(answer.starts_with(heard) && answer.is_empty() == heard.is_empty(), "{said}: {answer}");
    }
    let one = r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"not a request: `jsonrpc`"},"id":null}"#;
    assert_eq!(ask(&ada, "[1,2,3]"), format!("[{one},{one},{one}]"));
}

#[test]
fn a_batch_is_answered_as_one_when_all_of_it_is() {
    let world = world();
    let ada = world.anonymous("ada").greeted();
    let said = r#"[
        {"jsonrpc":"2.0","method":"subtract","params":[1,1],"id":"1"},
        {"jsonrpc":"2.0","method":"subtract","params":[7,1]},
        {"foo":"boo"},
        {"jsonrpc":"2.0","method":"publish","params":{"room":"r","payload":1},"id":null},
        {"jsonrpc":"2.0","method":"fail","id":9.5}
    ]"#;
    let heard = ask(&ada, said);
    for part in [
        r#"{"jsonrpc":"2.0","result":0,"id":"1"}"#,
        r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"not a request: `jsonrpc`"},"id":null}"#,
        r#"{"jsonrpc":"2.0","result":{"epoch":7,"offset":1},"id":null}"#,
        r#"{"jsonrpc":"2.0","error":{"code":7,"message":"no","data":"ada"},"id":9.5}"#,
    ] {
        assert!(heard.contains(part), "{part} in {heard}");
    }
    let answers: Vec<serde_json::Value> = serde_json::from_str(&heard).expect("it is a list");
    assert_eq!(answers.len(), 4);
}

#[test]
fn the_hubs_own_methods() {
    let world = World::new();
    let ada = world.anonymous("ada").inside(&["r"]);
    let call = |method: &str, params: &str| {
        ask(&ada, &format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params},"id":1}}"#))
    };
    assert_eq!(
        call("presence", r#"{"room":"r"}"#),
        r#"{"jsonrpc":"2.0","result":{"room":"r","users":[{"user_id":null,"connections":1}]},"id":1}"#
    );
    assert_eq!(
        call("history", r#"{"room":"r"}"#),
        r#"{"jsonrpc":"2.0","result":{"room":"r","epoch":7,"offset":0,"messages":[]},"id":1}"#
    );
    assert_eq!(
        call("publish", r#"{"room":"r","payload":[1],"echo":false}"#),
        r#"{"jsonrpc":"2.0","result":{"epoch":7,"offset":1},"id":1}"#
    );
    for params in ["{}", r#"{"room":7}"#, r#"{"room":"*"}"#, r#"["r"]"#] {
        assert!(call("presence", params).contains(r#""code":-32602"#), "{params}");
    }
    let gone = call("history", r#"{"room":"r","since":{"epoch":3,"offset":0}}"#);
    assert!(
        gone.contains(r#""error":{"code":-32000,"#) && gone.contains(r#""data":{"code":"history_gone"}"#),
        "{gone}"
    );
    for method in ["rooms.list", "stats"] {
        assert_eq!(
            call(method, "{}"),
            r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"for the server's admin","data":{"code":"forbidden"}},"id":1}"#
        );
    }
}

#[test]
fn an_admin_may_look_at_all() {
    let world = World::new();
    let _ada = world.anonymous("ada").inside(&["a:1", "a:2", "b"]);
    let visitor = Visitor { is_admin: true, client_id: Some("root".to_owned()), ..Visitor::default() };
    let root = world.visit(visitor).greeted();
    assert_eq!(
        ask(&root, r#"{"jsonrpc":"2.0","method":"rooms.list","id":1}"#),
        r#"{"jsonrpc":"2.0","result":{"rooms":[{"name":"a:1","members":1},{"name":"a:2","members":1},{"name":"b","members":1}]},"id":1}"#
    );
    assert_eq!(
        ask(
            &root,
            r#"{"jsonrpc":"2.0","method":"rooms.list","params":{"prefix":"a:","after":"a:1","limit":5},"id":1}"#
        ),
        r#"{"jsonrpc":"2.0","result":{"rooms":[{"name":"a:2","members":1}]},"id":1}"#
    );
    world.passes(2_000);
    assert_eq!(
        ask(&root, r#"{"jsonrpc":"2.0","method":"stats","id":1}"#),
        r#"{"jsonrpc":"2.0","result":{"total_connections":2,"total_rooms":3,"messages_in":6,"messages_out":0,"dropped":0,"uptime_s":2,"broker":null},"id":1}"#
    );
}

#[test]
fn calls_wait_for_their_answers_and_not_for_each_other() {
    let world = World::with(|hub| hub.method("never", |_, _| std::future::pending::<Result<(), RpcError>>()));
    let ada = world.anonymous("ada").greeted();
    for id in 0..64 {
        assert_eq!(ask(&ada, &format!(r#"{{"jsonrpc":"2.0","method":"never","id":{id}}}"#)), "");
    }
    let refused = ask(&ada, r#"{"jsonrpc":"2.0","method":"never","id":64}"#);
    assert!(refused.contains(r#""code":"unavailable""#), "{refused}");
    assert!(
        ask(&ada, r#"{"jsonrpc":"2.0","method":"presence","params":{"room":"r"},"id":65}"#).contains("users")
    );
}

#[test]
fn who_is_not_known_calls_nothing() {
    let world = World::with_tokens(|hub| hub);
    let eve = world.anonymous("eve").greeted();
    let heard = ask(&eve, r#"{"jsonrpc":"2.0","method":"presence","params":{"room":"r"},"id":1}"#);
    assert!(heard.contains(r#""data":{"code":"unauthorized"}"#), "{heard}");
}

#[test]
fn names_that_are_taken_are_refused() {
    for name in ["stats", "rpc.discover"] {
        let built = framecast_hub::Hub::builder().method(name, |_, _| async { Ok(()) }).build();
        assert_eq!(built.err(), Some(framecast_hub::BuildError::Method(name.to_owned())));
    }
}
