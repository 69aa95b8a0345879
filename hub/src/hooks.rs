//! What an application adds to a hub: what it says about connections, rooms and messages, and its own methods.

use std::{borrow::Cow, fmt, future::Future, net::IpAddr, pin::Pin, sync::Arc};

use framecast::CloseCode;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::rpc::RpcError;

/// Who asks. A clone is a reference count.
#[derive(Clone, Debug)]
pub struct Context(Arc<Who>);

#[derive(Debug)]
struct Who {
    client_id: Arc<str>,
    user_id: Option<Arc<str>>,
    address: Option<IpAddr>,
}

/// The application says no, for this reason, which the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    pub(crate) reason: Cow<'static, str>,
    /// What the connection is closed with, if it is to be.
    pub(crate) close: Option<CloseCode>,
}

/// What a client wants to send.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Incoming<'m> {
    /// JSON to a room.
    Message {
        /// The room.
        room: &'m str,
        /// As it was written.
        payload: &'m RawValue,
    },
    /// Bytes to a room.
    Binary {
        /// The room.
        room: &'m str,
        /// What is behind its name.
        bytes: &'m [u8],
    },
    /// JSON to a user.
    Direct {
        /// Who is to get it.
        to: &'m str,
        /// As it was written.
        payload: &'m RawValue,
    },
}

/// The parameters of a call.
#[derive(Clone, Debug, Default)]
pub struct Params(Option<Box<RawValue>>);

/// An answer that takes its time: JSON, or an error.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<String, RpcError>> + Send>>;

type Permit<T> = Box<dyn Fn(&Context, &T) -> Result<(), Denied> + Send + Sync>;
type Tell = Box<dyn Fn(&Context) + Send + Sync>;
type TellFirst = Box<dyn Fn(&Context, &str) -> Option<Box<RawValue>> + Send + Sync>;
type PermitConnect = Box<dyn Fn(&Context) -> Result<(), Denied> + Send + Sync>;
type PermitIncoming = Box<dyn Fn(&Context, &Incoming<'_>) -> Result<(), Denied> + Send + Sync>;
type Method = Arc<dyn Fn(Context, Params) -> Answering + Send + Sync>;

/// What the application wants to be asked and told.
#[derive(Default)]
pub(crate) struct Hooks {
    pub(crate) connect: Option<PermitConnect>,
    pub(crate) subscribe: Option<Permit<str>>,
    pub(crate) subscribed: Option<TellFirst>,
    pub(crate) message: Option<PermitIncoming>,
    pub(crate) disconnect: Option<Tell>,
    pub(crate) methods: std::collections::HashMap<String, Method>,
}

impl Context {
    pub(crate) fn new(client_id: Arc<str>, user_id: Option<Arc<str>>, address: Option<IpAddr>) -> Self {
        Self(Arc::new(Who { client_id, user_id, address }))
    }

    /// The client's id.
    pub fn client_id(&self) -> &str {
        &self.0.client_id
    }

    /// The user, if it is known.
    pub fn user_id(&self) -> Option<&str> {
        self.0.user_id.as_deref()
    }

    /// Where it comes from.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.address
    }

    pub(crate) fn shared_client_id(&self) -> &Arc<str> {
        &self.0.client_id
    }

    pub(crate) fn shared_user_id(&self) -> Option<&Arc<str>> {
        self.0.user_id.as_ref()
    }
}

impl Denied {
    /// The reason, short and without secrets.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), close: None }
    }

    /// The connection ends for it, with this code and the reason, of which 123 bytes are sent: a match that there is not, say, with
    /// [`CloseCode::POLICY`]. The codes from 4000 to 4999 are the application's, but for those in [`close`](crate::close). One that may not
    /// be sent is 1008. What JSON-RPC asks for ends in an error all the same.
    pub fn closing(code: CloseCode, reason: impl Into<Cow<'static, str>>) -> Self {
        let code = if code.is_sendable() { code } else { CloseCode::POLICY };
        Self { reason: reason.into(), close: Some(code) }
    }
}

impl Params {
    pub(crate) fn new(raw: Option<&RawValue>) -> Self {
        Self(raw.map(ToOwned::to_owned))
    }

    /// The JSON, an array or an object, if there are any.
    pub fn as_json(&self) -> Option<&str> {
        self.0.as_deref().map(RawValue::get)
    }

    /// Reads them; as an empty object where there are none.
    ///
    /// # Errors
    /// [`RpcError::INVALID_PARAMS`], as the caller is to be told.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, RpcError> {
        serde_json::from_str(self.as_json().unwrap_or("{}"))
            .map_err(|_| RpcError::new(RpcError::INVALID_PARAMS, "invalid params"))
    }
}

impl Hooks {
    /// A method by its name, called when its answer is first asked for: a panic in it is where that is.
    pub(crate) fn call(&self, name: &str, context: Context, params: Params) -> Option<Answering> {
        let method = self.methods.get(name)?.clone();
        Some(Box::pin(async move { method(context, params).await }))
    }

    pub(crate) fn add_method<F, A, T>(&mut self, name: &str, handler: F)
    where
        F: Fn(Context, Params) -> A + Send + Sync + 'static,
        A: Future<Output = Result<T, RpcError>> + Send + 'static,
        T: Serialize,
    {
        let method = move |context, params| -> Answering {
            let answer = handler(context, params);
            Box::pin(async move {
                let result = answer.await?;
                let failed = |_| RpcError::new(RpcError::INTERNAL, "the result cannot be written");
                serde_json::to_string(&result).map_err(failed)
            })
        };
        self.methods.insert(name.to_owned(), Arc::new(method));
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").field("methods", &self.methods.keys()).finish_non_exhaustive()
    }
}
