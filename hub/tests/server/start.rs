//! Where a server listens, and where it does not.

use std::io::ErrorKind;

use framecast_hub::{Server, Stop};

use crate::support::*;

#[tokio::test]
async fn it_tells_the_port_that_it_was_given() {
    let bound = Server::builder(hub(|hub| hub)).build().bind("127.0.0.1:0").await.expect("there is a port");
    let addr = bound.local_addr();
    assert!(addr.port() != 0 && addr.ip().is_loopback());
    assert_eq!(bound.url(), format!("http://{addr}/"));
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let server = Server::builder(hub(|hub| hub)).build();
    let bound = server.bind("127.0.0.1:0").await.expect("there is a port");
    let addr = bound.local_addr().to_string();
    let error = server.bind(&addr).await.expect_err("it is taken");
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&addr), "{error}");
    drop(bound);
    let _again = server.bind(&addr).await.expect("it is free again");
}

#[tokio::test]
async fn beyond_loopback_it_asks_for_tokens_or_to_be_told_that_anybody_may_come() {
    let serve = async |hub: framecast_hub::HubBuilder, at: &str| {
        let server = Server::builder(hub.build().expect("it can be")).build();
        let bound = server.bind(at).await.expect("there is a port");
        bound.serve(async { Stop::Now }).await
    };
    let builder = framecast_hub::Hub::builder;
    for at in ["0.0.0.0:0", "[::]:0"] {
        let error = serve(builder(), at).await.expect_err("it is open to all");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let text = error.to_string();
        assert!(text.ends_with(" can be reached from elsewhere, and no token is asked for"), "{text}");
        serve(builder().allow_anonymous(true), at).await.expect("it was told so");
        serve(builder().tokens(tokens()), at).await.expect("it asks for tokens");
    }
    for at in ["127.0.0.1:0", "127.3.2.1:0", "[::1]:0", "localhost:0"] {
        serve(builder(), at).await.expect("it is loopback");
    }
}
