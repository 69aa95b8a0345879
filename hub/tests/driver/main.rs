//! The hub on the driver over tokio, with the loop that any server has around a session.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use framecast::{
    Message, WebSocket,
    broadcast::{HistoryLimits, Position, Subscription, Topics},
    connect, listen,
};
use framecast_hub::{Action, Hub, RpcError, Session, Ticket, Visitor};
use tokio::{sync::mpsc, task::JoinSet, time};

/// An answer of the application's, for the session that has called.
type Answer = (Ticket, Result<String, RpcError>);

/// One connection, from its welcome to its end.
async fn serve(hub: Hub, mut ws: WebSocket) {
    let (sender, mut out) = (ws.sender(), Vec::new());
    let mut session = hub.open(Visitor::default(), sender.clone(), &mut out);
    let (answers, mut answered) = mpsc::unbounded_channel::<Answer>();
    // Dropped with the connection, and its calls with it.
    let mut calls = JoinSet::new();
    loop {
        if !perform(&mut session, &mut out, &ws, &answers, &mut calls).await {
            return;
        }
        let timeout = session.poll_timeout();
        let sleep = time::sleep_until(timeout.unwrap_or_else(far).into());
        tokio::select! {
            message = ws.recv() => match message {
                Some(message) => session.receive(&message, &mut out),
                None => return session.end(),
            },
            Some((ticket, result)) = answered.recv() => session.answer(ticket, result, &mut out),
            () = sleep => session.handle_timeout(&mut out),
        }
    }
}

/// Does what the session says; false if the connection is over.
async fn perform(
    session: &mut Session,
    out: &mut Vec<Action>,
    ws: &WebSocket,
    answers: &mpsc::UnboundedSender<Answer>,
    calls: &mut JoinSet<()>,
) -> bool {
    while !out.is_empty() {
        for action in std::mem::take(out) {
            match action {
                Action::Send(message) => {
                    if ws.send(message).await.is_err() {
                        return false;
                    }
                }
                Action::Subscribe(subscribe) => session.subscribe(subscribe, out),
                Action::Publish(post) => session.publish(post, out),
                Action::Call(call) => {
                    let answers = answers.clone();
                    calls.spawn(async move { drop(answers.send((call.ticket, call.answer.await))) });
                }
                // There is no broker.
                Action::Errand(_) => {}
                Action::Close(code, reason) => {
                    // An error says that it is closing already.
                    let _ = ws.sender().close(code, &reason);
                    ws.closed().await;
                    return false;
                }
            }
        }
    }
    true
}

fn far() -> std::time::Instant {
    std::time::Instant::now() + Duration::from_secs(3600)
}

async fn start(hub: Hub) -> String {
    let listener = listen("127.0.0.1:0").await.expect("there is a port");
    let url = format!("ws://{}/ws", listener.local_addr().expect("it is bound"));
    tokio::spawn(listener.serve(move |ws| serve(hub.clone(), ws)));
    url
}

async fn say(ws: &WebSocket, text: &str) {
    ws.send(Message::text(text)).await.expect("it is open");
}

async fn hear(ws: &mut WebSocket) -> String {
    let heard = time::timeout(Duration::from_secs(20), ws.recv()).await.expect("something comes");
    heard.expect("it is open").as_text().expect("it is text").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_comes_before_what_was_missed_and_that_before_what_is_live() {
    let hub = Hub::builder().build().expect("it can be");
    let url = start(hub.clone()).await;
    let payload = || serde_json::value::RawValue::from_string("1".to_owned()).expect("it is JSON");
    let first = hub.publish("r", payload(), None).expect("there is room");
    let stop = Arc::new(AtomicBool::new(false));
    let busy = {
        let (hub, stop) = (hub.clone(), stop.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                hub.publish("r", payload(), None).expect("there is room");
                std::thread::sleep(Duration::from_micros(100));
            }
        })
    };
    for _ in 0..50 {
        let mut ws = connect(&url).await.expect("it is let in");
        assert!(hear(&mut ws).await.starts_with(r#"{"type":"connection_established""#));
        // A place that the history still reaches.
        let offset = hub.topics().position("r").expect("it is known").offset.saturating_sub(5);
        let since = format!(r#"{{"epoch":{},"offset":{offset}}}"#, first.epoch);
        say(&ws, &format!(r#"{{"type":"subscribe","room":"r","since":{since}}}"#)).await;
        let subscribed = hear(&mut ws).await;
        assert!(subscribed.starts_with(r#"{"type":"subscribed","room":"r""#), "{subscribed}");
        let last = match subscribed.contains(r#""recovered":true"#) {
            true => offset,
            false => number(&subscribed, "offset"),
        };
        for next in last + 1..last + 21 {
            assert_eq!(number(&hear(&mut ws).await, "offset"), next);
        }
    }
    stop.store(true, Ordering::Relaxed);
    busy.join().expect("it has not panicked");
}

/// However long the answer takes, nothing of the room overtakes it: what the sessions build on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_gives_nothing_of_a_subscription_before_it_is_told() {
    let topics = Topics::builder().history(HistoryLimits::default()).build();
    let epoch = topics.publish("r", "missed").expect("there is room").position().epoch;
    let listener = listen("127.0.0.1:0").await.expect("there is a port");
    let url = format!("ws://{}/", listener.local_addr().expect("it is bound"));
    tokio::spawn(listener.serve(move |mut ws| {
        let topics = topics.clone();
        async move {
            let (member, sender) = (ws.join(&topics), ws.sender());
            let since = Subscription::new().since(Position { epoch, offset: 0 });
            // From outside of the workers: these have nothing else to do.
            let subscribing = tokio::task::spawn_blocking(move || {
                member.subscribe_with("r", since, |_| {
                    // Long enough for them to give what was missed, if they knew of it.
                    std::thread::sleep(Duration::from_millis(50));
                    sender.try_send("answer").expect("there is room");
                })
            });
            assert!(subscribing.await.expect("it does not panic").is_ok());
            while ws.recv().await.is_some() {}
        }
    }));
    let mut ws = connect(&url).await.expect("it is let in");
    assert_eq!((hear(&mut ws).await, hear(&mut ws).await), ("answer".to_owned(), "missed".to_owned()));
}

fn number(json: &str, name: &str) -> u64 {
    let (_, rest) = json.split_once(&format!("\"{name}\":")).expect("it is there");
    rest.split(|char: char| !char.is_ascii_digit()).next().expect("there is one").parse().expect("it is one")
}

#[tokio::test]
async fn rooms_direct_messages_and_calls_over_sockets() {
    let hub = Hub::builder()
        .method("slow", |_, _| async {
            time::sleep(Duration::from_millis(20)).await;
            Ok::<_, RpcError>("done")
        })
        .build()
        .expect("it can be");
    let url = start(hub.clone()).await;
    let mut ada = connect(&url).await.expect("it is let in");
    let mut bob = connect(&url).await.expect("it is let in");
    for ws in [&mut ada, &mut bob] {
        hear(ws).await;
        say(ws, r#"{"type":"subscribe","id":1,"room":"r"}"#).await;
        assert!(hear(ws).await.contains("subscribed"));
    }
    say(&ada, r#"{"jsonrpc":"2.0","method":"slow","id":7}"#).await;
    say(&ada, r#"{"type":"message","id":2,"room":"r","payload":"hi","echo":false}"#).await;
    assert_eq!(hear(&mut ada).await, r#"{"type":"ack","id":2,"offset":1}"#);
    assert!(hear(&mut bob).await.contains(r#""payload":"hi""#));
    assert_eq!(hear(&mut ada).await, r#"{"jsonrpc":"2.0","result":"done","id":7}"#);
    drop(ada);
    let left = async {
        while hub.stats().total_connections > 1 || hub.topics().members("r") > 1 {
            time::sleep(Duration::from_millis(5)).await;
        }
    };
    time::timeout(Duration::from_secs(20), left).await.expect("who is gone is gone");
}
