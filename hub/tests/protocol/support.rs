//! A hub in a world of its own: clients that speak text, and a clock that they move.

use std::{
    cell::RefCell,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use framecast::{Message, broadcast::Local};
use framecast_hub::{
    Action, Call, Clock, Errand, Hub, HubBuilder, JwtKey, Now, Random, Secret, Session, Tokens, Visitor,
};

/// When the world begins.
pub(crate) const START_MS: u64 = 1_730_000_000_123;
/// What JWTs are signed with.
pub(crate) const JWT_SECRET: &str = "0123456789abcdef0123456789abcdef";

pub(crate) struct World {
    pub(crate) hub: Hub,
    elapsed_ms: Arc<AtomicU64>,
    start: Instant,
}

impl World {
    /// A hub that everybody may use.
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    /// A hub that asks for tokens: `ada-token` and `bob-token`, or JWTs.
    pub(crate) fn with_tokens(build: impl FnOnce(HubBuilder) -> HubBuilder) -> Self {
        let key = JwtKey::hs256(JWT_SECRET).expect("it is a secret");
        let tokens = Tokens::new().with_file("ada-token ada\nbob-token bob\n").expect("it is a file");
        Self::with(|builder| build(builder.tokens(tokens.with_key(key))))
    }

    pub(crate) fn with(build: impl FnOnce(HubBuilder) -> HubBuilder) -> Self {
        let (elapsed_ms, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let clock = {
            let elapsed_ms = elapsed_ms.clone();
            Clock::new(move || {
                let millis = elapsed_ms.load(Ordering::SeqCst);
                Now { instant: start + Duration::from_millis(millis), unix_ms: START_MS + millis }
            })
        };
        let count = AtomicU64::new(1);
        let random = Random::new(move |bytes| {
            let count = count.fetch_add(1, Ordering::SeqCst).to_be_bytes();
            bytes.iter_mut().rev().zip(count.iter().rev()).for_each(|(byte, of)| *byte = *of);
        });
        let hub = build(Hub::builder().clock(clock).random(random)).build().expect("it can be");
        Self { hub, elapsed_ms, start }
    }

    pub(crate) fn passes(&self, millis: u64) {
        self.elapsed_ms.fetch_add(millis, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.elapsed_ms.load(Ordering::SeqCst))
    }

    /// Somebody without a token, by a client id of its own.
    pub(crate) fn anonymous(&self, client_id: &str) -> Peer<'_> {
        self.visit(Visitor { client_id: Some(client_id.to_owned()), ..Visitor::default() })
    }

    /// A user, by a token of the file, whose client id is its name; its welcome is heard.
    pub(crate) fn user(&self, user_id: &str) -> Peer<'_> {
        self.user_as(user_id, user_id)
    }

    pub(crate) fn user_as(&self, user_id: &str, client_id: &str) -> Peer<'_> {
        let peer = self.with_token(&format!("{user_id}-token"), client_id);
        assert_eq!(peer.hears().len(), 1, "the welcome");
        peer
    }

    pub(crate) fn with_token(&self, token: &str, client_id: &str) -> Peer<'_> {
        self.visit(Visitor {
            client_id: Some(client_id.to_owned()),
            token: Some(Secret::new(token)),
            ..Visitor::default()
        })
    }

    pub(crate) fn visit(&self, visitor: Visitor) -> Peer<'_> {
        self.visit_by(visitor, Local::new(self.hub.topics()))
    }

    pub(crate) fn visit_by(&self, visitor: Visitor, local: Local) -> Peer<'_> {
        let (local, mut out) = (Arc::new(local), Vec::new());
        let session = self.hub.open(visitor, local.clone(), &mut out);
        let peer = Peer {
            world: self,
            local,
            session: RefCell::new(session),
            calls: RefCell::default(),
            errands: RefCell::default(),
        };
        peer.perform(out);
        peer
    }
}

/// A client, and the server's side of its connection.
pub(crate) struct Peer<'w> {
    world: &'w World,
    pub(crate) local: Arc<Local>,
    pub(crate) session: RefCell<Session>,
    calls: RefCell<Vec<Call>>,
    errands: RefCell<Vec<Errand>>,
}

impl Peer<'_> {
    /// Sends a text, and everything that follows is done.
    pub(crate) fn says(&self, text: &str) -> &Self {
        self.sends(Message::text(text))
    }

    pub(crate) fn sends(&self, message: Message) -> &Self {
        let mut out = Vec::new();
        self.session.borrow_mut().receive(&message, &mut out);
        self.perform(out);
        self
    }

    /// Does what a server would.
    pub(crate) fn perform(&self, mut out: Vec<Action>) {
        while !out.is_empty() {
            for action in std::mem::take(&mut out) {
                let mut session = self.session.borrow_mut();
                match action {
                    Action::Send(message) => self.local.send(&message.into()).unwrap_or_default(),
                    Action::Subscribe(subscribe) => session.subscribe(subscribe, &mut out),
                    Action::Publish(post) => session.publish(post, &mut out),
                    Action::Call(call) => self.calls.borrow_mut().push(call),
                    Action::Errand(errand) => self.errands.borrow_mut().push(errand),
                    Action::Close(code, reason) => self.local.close(code, &reason),
                }
            }
            self.work();
            self.asks_the_broker();
        }
    }

    /// Looks whether the broker has answered.
    pub(crate) fn asks_the_broker(&self) -> &Self {
        let errands = std::mem::take(&mut *self.errands.borrow_mut());
        for mut errand in errands {
            let mut context = Context::from_waker(Waker::noop());
            let Poll::Ready(returned) = pin!(&mut errand).poll(&mut context) else {
                self.errands.borrow_mut().push(errand);
                continue;
            };
            let mut out = Vec::new();
            self.session.borrow_mut().returned(returned, &mut out);
            self.perform(out);
        }
        self
    }

    /// How many questions to the broker the server awaits.
    pub(crate) fn errands(&self) -> usize {
        self.errands.borrow().len()
    }

    /// Lets the calls that are under way come to their ends, the last one first.
    pub(crate) fn work(&self) {
        let calls = std::mem::take(&mut *self.calls.borrow_mut());
        for call in calls.into_iter().rev() {
            let mut answer = pin!(call.answer);
            let mut context = Context::from_waker(Waker::noop());
            let Poll::Ready(result) = answer.as_mut().poll(&mut context) else { continue };
            let mut out = Vec::new();
            self.session.borrow_mut().answer(call.ticket, result, &mut out);
            self.perform(out);
        }
    }

    /// What it has received since it was last asked. Epochs are 7.
    pub(crate) fn hears(&self) -> Vec<String> {
        self.local
            .take(self.world.now())
            .iter()
            .map(|message| normal(message.as_text().unwrap_or("binary")))
            .collect()
    }

    /// Sends, and what it has received then.
    pub(crate) fn asks(&self, text: &str) -> Vec<String> {
        self.says(text).hears()
    }

    /// Has heard what it was told until now.
    pub(crate) fn greeted(self) -> Self {
        self.hears();
        self
    }

    /// Has come in to rooms, and has heard so.
    pub(crate) fn inside(self, rooms: &[&str]) -> Self {
        self.hears();
        for room in rooms {
            let heard = self.asks(&format!(r#"{{"type":"subscribe","room":"{room}"}}"#));
            assert!(heard[0].contains("subscribed"), "{heard:?}");
        }
        self
    }

    /// Tells the session that time has passed.
    pub(crate) fn wakes(&self) -> &Self {
        let mut out = Vec::new();
        self.session.borrow_mut().handle_timeout(&mut out);
        self.perform(out);
        self
    }

    pub(crate) fn is_closed_with(&self) -> Option<(u16, String)> {
        self.local.closed().map(|(code, reason)| (code.0, reason))
    }

    /// The connection is gone, from below.
    pub(crate) fn hangs_up(&self) {
        self.local.close(framecast::CloseCode::NORMAL, "");
        self.local.take(self.world.now());
        self.session.borrow_mut().end();
    }
}

/// With epochs, which are at random, all alike.
fn normal(text: &str) -> String {
    let mut normal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\"epoch\":") {
        normal.push_str(before);
        normal.push_str("\"epoch\":7");
        rest = after.trim_start_matches(|char: char| char.is_ascii_digit());
    }
    normal + rest
}

/// A JWT of these claims.
pub(crate) fn jwt(claims: &str) -> String {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
    use ring::hmac;
    let message = format!("{}.{}", BASE64.encode(r#"{"alg":"HS256"}"#), BASE64.encode(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, JWT_SECRET.as_bytes());
    format!("{message}.{}", BASE64.encode(hmac::sign(&key, message.as_bytes())))
}
