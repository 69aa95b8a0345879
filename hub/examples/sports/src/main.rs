//! Matches live. Run   cargo run -p framecast-sports                 and open the URL that it prints
//! Shows an application of one's own on the hub: see the README beside it.

use std::{
    env::{VarError, var},
    error::Error,
    time::Duration,
};

use framecast_hub::{Secret, Stop, Tokens};
use framecast_sports::{Options, Sports};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let tokens = match option("SPORTS_TOKENS")? {
        Some(file) => Tokens::new().with_file(&std::fs::read_to_string(file)?)?,
        None => Tokens::new(),
    };
    let sports = Sports::open(Options {
        listen: option("SPORTS_LISTEN")?.unwrap_or_else(|| "127.0.0.1:8000".to_owned()),
        database: option("SPORTS_DATABASE")?.unwrap_or_else(|| "sports.db".to_owned()).into(),
        admin_token: option("SPORTS_ADMIN_TOKEN")?.map(Secret::new),
        tokens,
        token_within: Duration::from_secs(10),
    })
    .await?;
    println!("listening on {}", sports.url());
    let stop = async {
        // Without signals it runs until it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Stop::Drain(Duration::from_secs(1))
    };
    Ok(sports.serve(stop).await?)
}

fn option(name: &str) -> Result<Option<String>, VarError> {
    match var(name) {
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        Err(error) => Err(error),
    }
}
