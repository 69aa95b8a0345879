//! Who somebody is: at the door, by a first message, and when a token is renewed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use framecast::proto::PreparedMessage;

use super::{Action, Open, Session, State, Subscribe, Visitor};
use crate::{
    answer::{self, Welcome},
    clients::{Claim, Refused, is_client_id},
    clock::Now,
    counters::Auth,
    ending::Ending,
    envelope::Envelope,
    fault::{ErrorCode, Fault},
    hooks::Context,
    hub::Core,
    id::Id,
    rights::Rights,
    token::{Grant, TokenError},
};

impl Session {
    /// Somebody is at the door.
    pub(super) fn knock(&mut self, visitor: Visitor, out: &mut Vec<Action>) {
        let now = self.core.clock.now();
        let token = visitor.token.as_ref().filter(|_| !self.core.tokens.is_empty());
        let grant = token.map(|token| self.core.tokens.verify(token.expose(), now.unix_ms));
        match (grant, &self.core.anonymous) {
            (Some(Ok(grant)), _) => self.enter(&visitor, Some(grant), None, out),
            (None, Some(_)) => self.enter(&visitor, None, None, out),
            // Whoever has shown a token is not to be taken for nobody.
            (Some(Err(error)), _) => self.wait(visitor, Some(error), now),
            (None, None) => self.wait(visitor, None, now),
        }
    }

    /// Greets somebody who has a while to say who it is.
    fn wait(&mut self, visitor: Visitor, error: Option<TokenError>, now: Now) {
        let client_id = visitor.client_id.clone().filter(|client_id| is_client_id(client_id));
        let client_id = client_id.unwrap_or_else(|| self.core.random.name::<10>("c-"));
        self.connection.send(&welcome(&self.core, &client_id, None, None, now).into());
        if let Some(error) = error {
            let fault = Fault::new(ErrorCode::Unauthorized, error.to_string());
            self.core.counters.auth.add(error.into());
            self.core.counters.errors.add(fault.code);
            self.connection.send(&answer::error(None, &fault).into());
        }
        let visitor = Box::new(Visitor { client_id: Some(client_id), token: None, ..visitor });
        self.state = State::Waiting { visitor, until: now.instant + self.core.limits.auth_within };
    }

    /// Somebody is known, or allowed not to be. After `auth`, its answer is the first that is sent, else the welcome.
    fn enter(
        &mut self,
        visitor: &Visitor,
        grant: Option<Grant>,
        auth: Option<Option<&Id>>,
        out: &mut Vec<Action>,
    ) {
        let (core, now) = (self.core.clone(), self.core.clock.now());
        let user_id = grant.as_ref().map(|grant| grant.user_id.clone());
        let client_id = visitor.client_id.clone().unwrap_or_else(|| core.random.name::<10>("c-"));
        let claim = Claim {
            client_id: &client_id,
            resume: visitor.resume.as_ref().map(|resume| resume.expose()),
            user_id: user_id.as_ref(),
            connection: &self.connection,
        };
        let context = Context::new(client_id.as_str().into(), user_id.clone(), visitor.address);
        // Asked before it takes an older connection's place, or others can reach it.
        let allowed = core.hooks.connect.as_ref().map_or(Ok(()), |connect| connect(&context));
        if let Err(denied) = allowed {
            return self.close_as(Ending::Denied, denied.close, &denied.reason, out);
        }
        let claimed = core.clients.claim(claim, &core.limits, &core.random, &core.clock, |resume| {
            PreparedMessage::new(match (auth, &grant) {
                (Some(id), Some(grant)) => answer::authenticated(id, &grant.user_id, grant.expires_at_ms),
                _ => welcome(&core, &client_id, user_id.as_deref(), Some(resume), now),
            })
        });
        let claimed = match claimed {
            Ok(claimed) => claimed,
            Err(refused) => {
                if let Some(disconnect) = &core.hooks.disconnect {
                    disconnect(&context);
                }
                return self.close(refused.ending(), refused.as_str(), out);
            }
        };
        core.counters.auth.add(if grant.is_some() { Auth::Ok } else { Auth::Anonymous });
        let expires_at_ms = grant.as_ref().and_then(|grant| grant.expires_at_ms);
        self.state = State::Open(Box::new(Open {
            context: Context::new(claimed.client_id, user_id, visitor.address),
            member: self.connection.join(&core.topics),
            seen: claimed.seen,
            user: claimed.meters,
            rights: rights(&core, grant.as_ref()),
            expires: expires(expires_at_ms, now),
            is_admin: visitor.is_admin,
        }));
        self.take_routes(&visitor.path, out);
    }

    /// Subscribes to what the path says.
    fn take_routes(&mut self, path: &str, out: &mut Vec<Action>) {
        let core = self.core.clone();
        for room in core.routes.iter().filter_map(|route| route.room(path)) {
            match self.may_subscribe(&room) {
                Ok(()) => out.push(Action::Subscribe(Subscribe {
                    id: None,
                    room: room.into(),
                    subscription: super::rooms::default_subscription(),
                    since: None,
                })),
                Err(fault) => {
                    core.counters.joins_refused.add(fault.code);
                    self.refuse(None, fault, out);
                    // The application may have had it end.
                    if self.is_over() {
                        return;
                    }
                }
            }
        }
    }

    /// `auth`: says who it is, or renews the token.
    pub(super) fn auth(
        &mut self,
        envelope: &Envelope<'_>,
        id: Option<&Id>,
        out: &mut Vec<Action>,
    ) -> Result<(), Fault> {
        let now = self.core.clock.now();
        let unauthorized = |error: TokenError| {
            self.core.counters.auth.add(error.into());
            Fault::new(ErrorCode::Unauthorized, error.to_string())
        };
        let grant = self.core.tokens.verify(&envelope.token()?, now.unix_ms).map_err(unauthorized)?;
        match std::mem::replace(&mut self.state, State::Over) {
            State::Waiting { visitor, .. } => self.enter(&visitor, Some(grant), Some(id), out),
            State::Open(open) => {
                self.state = State::Open(open);
                self.renew(&grant, id, now, out)?;
            }
            State::Over => {}
        }
        Ok(())
    }

    fn renew(
        &mut self,
        grant: &Grant,
        id: Option<&Id>,
        now: Now,
        out: &mut Vec<Action>,
    ) -> Result<(), Fault> {
        let rights = rights(&self.core, Some(grant));
        let State::Open(open) = &mut self.state else { return Ok(()) };
        let authenticated = answer::authenticated(id, &grant.user_id, grant.expires_at_ms);
        match open.context.shared_user_id() {
            Some(user_id) if *user_id != grant.user_id => {
                self.core.counters.auth.add(Auth::OtherUser);
                return Err(Fault::forbidden("the token is another user's: connect anew"));
            }
            Some(_) => out.push(Action::Send(authenticated)),
            None => {
                let client_id = open.context.shared_client_id().clone();
                let (core, first) = (&self.core, authenticated.into());
                let (limits, clock) = (&core.limits, &core.clock);
                let adopted =
                    core.clients.adopt(&client_id, &grant.user_id, &self.connection, limits, clock, &first);
                let refused = |refused: Refused| Fault::new(ErrorCode::Unavailable, refused.as_str());
                open.user = Some(adopted.map_err(refused)?);
                open.context = Context::new(client_id, Some(grant.user_id.clone()), open.context.address());
            }
        }
        self.core.counters.auth.add(Auth::Renewed);
        open.rights = rights;
        open.expires = expires(grant.expires_at_ms, now);
        // What the new token does not allow any more is over.
        let lost: Vec<Arc<str>> = open.member.subscriptions();
        for room in lost.into_iter().filter(|room| !open.rights.subscribe.cover(room)) {
            open.member.unsubscribe(&room);
            self.lane.iter_mut().for_each(|lane| lane.leave(&room));
            out.push(Action::Send(answer::unsubscribed(None, &room)));
        }
        Ok(())
    }
}

fn welcome(
    core: &Core,
    client_id: &str,
    user_id: Option<&str>,
    resume: Option<&str>,
    now: Now,
) -> framecast::Message {
    Welcome {
        client_id,
        user_id,
        resume,
        ping_interval_s: core.ping_interval_s,
        dedupe_window_s: core.limits.dedupe_window.as_secs(),
        ts: now.unix_ms,
    }
    .message()
}

fn rights(core: &Core, grant: Option<&Grant>) -> Rights {
    match (grant, &core.anonymous) {
        (Some(grant), _) => Rights {
            subscribe: grant.subscribe.clone().unwrap_or_else(|| core.rights.subscribe.clone()),
            publish: grant.publish.clone().unwrap_or_else(|| core.rights.publish.clone()),
        },
        (None, Some(anonymous)) => anonymous.clone(),
        (None, None) => Rights::none(),
    }
}

/// By the clock that does not jump; what is too far away for it is never.
fn expires(at_ms: Option<u64>, now: Now) -> Option<Instant> {
    now.instant.checked_add(Duration::from_millis(at_ms?.saturating_sub(now.unix_ms)))
}
