//! Every limit and every time-out of a connection, each with a safe default.
//!
//! The headings of [`ConfigBuilder`]: messages, control frames, the opening handshake, keepalive and deadlines, closing,
//! the outbox, compression, a server's counts, leniencies.

use std::{fmt, time::Duration};

use super::deflate::Deflate;

macro_rules! config {
    ($($knob:ident: $type:ty,)*) => {
        /// The limits and time-outs of a connection, checked; shared by all connections of an endpoint.
        ///
        /// ```
        /// use framecast::proto::Config;
        /// use std::time::Duration;
        ///
        /// let config = Config::builder()
        ///     .message_bytes_max(64 << 10)
        ///     .ping_every(Some(Duration::from_secs(25)))
        ///     .build()?;
        /// assert_eq!(config.fragments_max(), 1025);
        /// # Ok::<(), framecast::proto::ConfigError>(())
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Config {
            $(pub(crate) $knob: $type,)*
        }

        /// What was set; the unit and the meaning of each are with the setter of its name in [`ConfigBuilder`].
        impl Config {
            $(#[doc = concat!("See [`ConfigBuilder::", stringify!($knob), "`].")]
            pub fn $knob(&self) -> $type {
                self.$knob
            })*
        }
    };
}

config! {
    // messages
    message_bytes_max: u64,
    frame_bytes_max: u64,
    fragments_max: u32,
    parts: bool,
    text: bool,
    binary: bool,
    inbound_messages_max: usize,
    inbound_bytes_max: usize,
    // control frames
    control_frames_per_second: u16,
    control_frames_burst: u16,
    pongs_pending_max: usize,
    // the opening handshake
    head_bytes_max: usize,
    request_line_bytes_max: usize,
    headers_max: usize,
    handshake_within: Duration,
    tls_within: Duration,
    // keepalive and deadlines
    ping_every: Option<Duration>,
    pong_within: Duration,
    incomplete_window: Duration,
    incomplete_bytes_min: u32,
    write_stall_after: Duration,
    // closing
    close_within: Duration,
    linger_within: Duration,
    linger_bytes_max: u32,
    // the outbox
    outbox_bytes_low: usize,
    outbox_bytes_max: usize,
    outbox_messages_max: usize,
    // compression
    deflate: Option<Deflate>,
    // a server's counts
    connections_max: Option<usize>,
    handshakes_max: Option<usize>,
    // leniencies
    accept_long_lengths: bool,
}

/// Builds a [`Config`]; starts from the defaults.
#[derive(Clone, Debug)]
#[must_use]
pub struct ConfigBuilder {
    config: Config,
    frame_bytes_max: Option<u64>,
    fragments_max: Option<u32>,
}

impl Config {
    /// The word for "no limit" of a size in bytes. Never 0, which means that only empty messages pass.
    pub const UNLIMITED: u64 = u64::MAX;

    /// A builder that holds the defaults.
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder { config: Self::default(), frame_bytes_max: None, fragments_max: None }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            message_bytes_max: 1 << 20,
            frame_bytes_max: 1 << 20,
            fragments_max: fragments_for(1 << 20),
            parts: false,
            text: true,
            binary: true,
            inbound_messages_max: 16,
            inbound_bytes_max: 1 << 20,
            control_frames_per_second: 50,
            control_frames_burst: 100,
            pongs_pending_max: 16,
            head_bytes_max: 16 << 10,
            request_line_bytes_max: 8 << 10,
            headers_max: 100,
            handshake_within: Duration::from_secs(10),
            tls_within: Duration::from_secs(10),
            ping_every: Some(Duration::from_secs(20)),
            pong_within: Duration::from_secs(20),
            incomplete_window: Duration::from_secs(30),
            incomplete_bytes_min: 30 << 10,
            write_stall_after: Duration::from_secs(10),
            close_within: Duration::from_secs(5),
            linger_within: Duration::from_secs(2),
            linger_bytes_max: 256 << 10,
            outbox_bytes_low: 64 << 10,
            outbox_bytes_max: 1 << 20,
            outbox_messages_max: 16 << 10,
            deflate: None,
            connections_max: None,
            handshakes_max: None,
            accept_long_lengths: false,
        }
    }
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        $($(#[$doc])* pub fn $name(mut self, $name: $type) -> Self { self.config.$name = $name; self })*
    };
}

/// # Messages
impl ConfigBuilder {
    /// Largest message accepted, in bytes after inflating. Default 1 MiB; a message of exactly this size is accepted, one
    /// byte more is refused with 1009 at the header that announces it.
    ///
    /// Also the most a peer can make one connection hold while its message is incomplete. [`Config::UNLIMITED`] leaves
    /// that to the peer.
    pub fn message_bytes_max(mut self, bytes: u64) -> Self {
        self.config.message_bytes_max = bytes;
        self
    }

    /// Largest payload of one frame, in bytes. Default: the message's limit. Exactly this size is accepted; above: 1009.
    pub fn frame_bytes_max(mut self, bytes: u64) -> Self {
        self.frame_bytes_max = Some(bytes);
        self
    }

    /// Most frames of one message, empty ones counted. Default: one for each 64 bytes of the message's limit, at least
    /// 1,024, and one more (16,385 at 1 MiB). Exactly this many are accepted; above: 1008.
    pub fn fragments_max(mut self, frames: u32) -> Self {
        self.fragments_max = Some(frames);
        self
    }

    setters! {
        /// Hands on messages in pieces ([`Event::Part`](super::Event::Part)) and assembles nothing. Default off.
        ///
        /// For those who drive a [`Connection`](super::Connection) themselves: the drivers of this crate switch it off.
        /// The limits on messages and fragments do not apply then, as nothing is held; that on frames does, if set.
        parts: bool,
        /// Whether text messages are taken. Default yes; if not, one fails with 1003.
        text: bool,
        /// Whether binary messages are taken. Default yes; if not, one fails with 1003.
        binary: bool,
        /// Messages that wait for the application before a driver stops reading. Default 16, checked before each read.
        inbound_messages_max: usize,
        /// Bytes that wait for the application before a driver stops reading. Default 1 MiB, checked before each read.
        inbound_bytes_max: usize,
    }
}

/// # Control frames
impl ConfigBuilder {
    setters! {
        /// Pings and pongs a second that a peer may send on average. Default 50; above: 1008.
        control_frames_per_second: u16,
        /// Pings and pongs that a peer may send at once. Default 100; above: 1008.
        control_frames_burst: u16,
        /// Pongs that wait to be written. Default 16; from then on the newest takes the last one's place (RFC 6455 §5.5.3).
        pongs_pending_max: usize,
    }
}

/// # The opening handshake
impl ConfigBuilder {
    setters! {
        /// Longest head of a request or response, in bytes with its last empty line. Default 16 KiB; above: status 431.
        head_bytes_max: usize,
        /// Longest request line, in bytes without its CRLF. Default 8 KiB; above: status 414.
        request_line_bytes_max: usize,
        /// Most header lines. Default 100; above: status 431.
        headers_max: usize,
        /// From the first byte of TCP to the 101, absolute. Default 10 s; then 408 if anything came.
        ///
        /// For a client it covers the look-up, TCP, TLS and the answer.
        handshake_within: Duration,
        /// A client's time for TLS alone, within [`handshake_within`](Self::handshake_within). Default 10 s. A server is given
        /// streams that have TLS behind them.
        tls_within: Duration,
    }
}

/// # Keepalive and deadlines
impl ConfigBuilder {
    setters! {
        /// Time between pings, ±20 % of jitter. Default 20 s. `None`: no pings, and a peer that is gone is not noticed.
        ping_every: Option<Duration>,
        /// Time for the pong that matches, from the ping's last byte written. Default 20 s; then 1008.
        ///
        /// Begun again by progress of writes that had to wait, and by bytes of an unfinished data frame, inside of which no pong can come.
        pong_within: Duration,
        /// The window in which an unfinished frame or message must bring
        /// [`incomplete_bytes_min`](Self::incomplete_bytes_min). Default 30 s; then 1008.
        incomplete_window: Duration,
        /// Bytes that each window of an unfinished frame or message must bring. Default 30 KiB (8 kbit/s). With 0 an
        /// unfinished message may take for ever.
        incomplete_bytes_min: u32,
        /// Time without write progress while data is queued. Default 10 s; then the connection is cut.
        write_stall_after: Duration,
    }
}

/// # Closing
impl ConfigBuilder {
    setters! {
        /// Time for the closing handshake, absolute. Default 5 s; then the connection is cut.
        close_within: Duration,
        /// Time to wait for the peer's end of TCP after the closing handshake. Default 2 s.
        linger_within: Duration,
        /// Bytes read and thrown away after our Close. Default 256 KiB; above, we read no more, and cut the connection once
        /// [`linger_within`](Self::linger_within) or [`close_within`](Self::close_within) has passed: a reset at once could
        /// overtake the Close in the peer's kernel.
        linger_bytes_max: u32,
    }
}

/// # The outbox
impl ConfigBuilder {
    setters! {
        /// Low-water mark, in bytes: a sender that waits goes on once no more than this is queued. Default 64 KiB.
        outbox_bytes_low: usize,
        /// High-water mark, in bytes of frames queued. Default 1 MiB. A message is admitted if the outbox is empty or stays
        /// within the mark with it.
        outbox_bytes_max: usize,
        /// Most messages queued. Default 16,384.
        outbox_messages_max: usize,
    }
}

/// # Compression
#[cfg(feature = "deflate")]
impl ConfigBuilder {
    /// Negotiates permessage-deflate (RFC 7692) on these terms. Default: not; then it is neither offered nor accepted.
    ///
    /// Not together with [`parts`](Self::parts), as inflating makes pieces of any size of a small one.
    pub fn deflate(mut self, deflate: impl Into<Option<Deflate>>) -> Self {
        self.config.deflate = deflate.into();
        self
    }
}

/// # A server's counts
impl ConfigBuilder {
    setters! {
        /// Most connections of one listener. Default `None`: the limit on open files less 64. Above: status 503.
        connections_max: Option<usize>,
        /// Most connections of one listener that have not finished their handshake. Default `None`: a tenth of
        /// [`connections_max`](Self::connections_max), 128 at least. Above, the oldest one is cut, so that silent sockets shut
        /// nobody out.
        handshakes_max: Option<usize>,
    }
}

/// # Leniencies
impl ConfigBuilder {
    setters! {
        /// Accepts lengths that are not in their shortest form (RFC 6455 §5.2). Default off: 1002.
        accept_long_lengths: bool,
    }
}

impl ConfigBuilder {
    /// Checks what was set.
    ///
    /// # Errors
    /// [`ConfigError`] names the knob: a time-out of zero or above 12 days, a count of zero, marks that contradict each
    /// other, an endpoint that takes neither text nor binary.
    pub fn build(self) -> Result<Config, ConfigError> {
        let mut config = self.config;
        config.frame_bytes_max = self.frame_bytes_max.unwrap_or(if config.parts {
            Config::UNLIMITED
        } else {
            config.message_bytes_max
        });
        config.fragments_max = self.fragments_max.unwrap_or_else(|| fragments_for(config.message_bytes_max));

        let durations = [
            ("handshake_within", config.handshake_within),
            ("tls_within", config.tls_within),
            ("ping_every", config.ping_every.unwrap_or(Duration::from_secs(1))),
            ("pong_within", config.pong_within),
            ("incomplete_window", config.incomplete_window),
            ("write_stall_after", config.write_stall_after),
            ("close_within", config.close_within),
            ("linger_within", config.linger_within),
        ];
        for (knob, duration) in durations {
            if !(DURATION_MIN..=DURATION_MAX).contains(&duration) {
                return Err(ConfigError::Duration { knob });
            }
        }
        let counts = [
            ("fragments_max", u64::from(config.fragments_max)),
            ("inbound_messages_max", config.inbound_messages_max as u64),
            ("inbound_bytes_max", config.inbound_bytes_max as u64),
            ("control_frames_per_second", u64::from(config.control_frames_per_second)),
            ("control_frames_burst", u64::from(config.control_frames_burst)),
            ("pongs_pending_max", config.pongs_pending_max as u64),
            ("head_bytes_max", config.head_bytes_max as u64),
            ("request_line_bytes_max", config.request_line_bytes_max as u64),
            ("headers_max", config.headers_max as u64),
            ("outbox_bytes_max", config.outbox_bytes_max as u64),
            ("outbox_messages_max", config.outbox_messages_max as u64),
            ("connections_max", config.connections_max.unwrap_or(1) as u64),
            ("handshakes_max", config.handshakes_max.unwrap_or(1) as u64),
        ];
        if let Some((knob, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(ConfigError::Zero { knob });
        }
        if config.outbox_bytes_low > config.outbox_bytes_max {
            return Err(ConfigError::LowAboveHigh);
        }
        if !config.text && !config.binary {
            return Err(ConfigError::NothingAccepted);
        }
        if let Some(deflate) = &config.deflate {
            if config.parts {
                return Err(ConfigError::DeflateInParts);
            }
            if !deflate.is_valid() {
                return Err(ConfigError::Deflate);
            }
        }
        Ok(config)
    }
}

/// What a [`ConfigBuilder`] holds contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A time-out under a millisecond or above 12 days.
    Duration {
        /// The setter's name.
        knob: &'static str,
    },
    /// A count of zero where nothing would work.
    Zero {
        /// The setter's name.
        knob: &'static str,
    },
    /// `outbox_bytes_low` is above `outbox_bytes_max`.
    LowAboveHigh,
    /// Neither text nor binary is taken.
    NothingAccepted,
    /// A window outside of 9 to 15 bits, or a level outside of 1 to 9.
    Deflate,
    /// `deflate` and `parts` are both set.
    DeflateInParts,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duration { knob } => write!(f, "{knob} must be between 1 ms and 12 days"),
            Self::Zero { knob } => write!(f, "{knob} must not be 0"),
            Self::LowAboveHigh => write!(f, "outbox_bytes_low is above outbox_bytes_max"),
            Self::NothingAccepted => write!(f, "neither text nor binary is accepted"),
            Self::Deflate => write!(f, "deflate takes windows of 9 to 15 bits and levels of 1 to 9"),
            Self::DeflateInParts => write!(f, "deflate and parts exclude each other"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// One fragment for each 64 bytes, as Autobahn 9.3.1 sends them, and one for the empty last one.
const fn fragments_for(message_bytes_max: u64) -> u32 {
    let by_size = message_bytes_max / 64;
    if by_size < 1024 {
        1025
    } else if by_size >= u32::MAX as u64 {
        u32::MAX
    } else {
        by_size as u32 + 1
    }
}

/// Deadlines are kept in milliseconds,
const DURATION_MIN: Duration = Duration::from_millis(1);
/// in 32 bits: half of half their range leaves room for sums.
const DURATION_MAX: Duration = Duration::from_secs(12 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    /// catalogue: QA-30
    #[test]
    fn defaults_are_those_that_the_catalogue_promises() {
        let seconds = Duration::from_secs;
        let config = Config::builder().build().expect("the defaults fit together");
        assert_eq!(config, Config::default());
        assert_eq!(config.message_bytes_max, 1_048_576);
        assert_eq!(config.frame_bytes_max, 1_048_576);
        assert_eq!(config.fragments_max, 16_385);
        assert!(!config.parts && config.text && config.binary && !config.accept_long_lengths);
        assert_eq!((config.inbound_messages_max, config.inbound_bytes_max), (16, 1_048_576));
        assert_eq!((config.control_frames_per_second, config.control_frames_burst), (50, 100));
        assert_eq!(config.pongs_pending_max, 16);
        assert_eq!((config.head_bytes_max, config.request_line_bytes_max), (16_384, 8_192));
        assert_eq!(config.headers_max, 100);
        assert_eq!((config.handshake_within, config.tls_within), (seconds(10), seconds(10)));
        assert_eq!((config.ping_every, config.pong_within), (Some(seconds(20)), seconds(20)));
        assert_eq!((config.incomplete_window, config.incomplete_bytes_min), (seconds(30), 30_720));
        assert_eq!(config.write_stall_after, seconds(10));
        assert_eq!((config.close_within, config.linger_within), (seconds(5), seconds(2)));
        assert_eq!(config.linger_bytes_max, 262_144);
        assert_eq!((config.outbox_bytes_low, config.outbox_bytes_max), (65_536, 1_048_576));
        assert_eq!(config.outbox_messages_max, 16_384);
        assert_eq!((config.connections_max, config.handshakes_max), (None, None));
    }

    /// catalogue: QA-31
    #[test]
    fn every_time_out_of_zero_or_beyond_12_days_is_an_error_that_names_it() {
        type Set = fn(ConfigBuilder, Duration) -> ConfigBuilder;
        let knobs: [(&str, Set); 8] = [
            ("handshake_within", ConfigBuilder::handshake_within),
            ("tls_within", ConfigBuilder::tls_within),
            ("ping_every", |builder, duration| builder.ping_every(Some(duration))),
            ("pong_within", ConfigBuilder::pong_within),
            ("incomplete_window", ConfigBuilder::incomplete_window),
            ("write_stall_after", ConfigBuilder::write_stall_after),
            ("close_within", ConfigBuilder::close_within),
            ("linger_within", ConfigBuilder::linger_within),
        ];
        for (knob, set) in knobs {
            for bad in [Duration::ZERO, Duration::from_secs(12 * 24 * 3600 + 1), Duration::MAX] {
                assert_eq!(
                    set(Config::builder(), bad).build(),
                    Err(ConfigError::Duration { knob }),
                    "{bad:?}"
                );
            }
            assert!(set(Config::builder(), DURATION_MIN).build().is_ok(), "{knob}");
            assert!(set(Config::builder(), DURATION_MAX).build().is_ok(), "{knob}");
        }
    }

    /// catalogue: QA-31, V-18
    #[test]
    fn sizes_take_every_value_and_counts_refuse_zero() {
        for bytes in [0, 1, u64::from(u32::MAX), u64::MAX] {
            let config = Config::builder().message_bytes_max(bytes).build().expect("any size is a size");
            assert_eq!((config.message_bytes_max, config.frame_bytes_max), (bytes, bytes));
            assert!(config.fragments_max >= 1025);
        }
        assert_eq!(
            Config::builder().fragments_max(0).build(),
            Err(ConfigError::Zero { knob: "fragments_max" })
        );
        assert_eq!(
            Config::builder().outbox_bytes_low(2).outbox_bytes_max(1).build(),
            Err(ConfigError::LowAboveHigh)
        );
        assert_eq!(Config::builder().text(false).binary(false).build(), Err(ConfigError::NothingAccepted));
    }

    /// Autobahn 9.3.1 sends 4 MiB in fragments of 64 bytes and an empty last one.
    #[test]
    fn fragments_follow_the_message_limit() {
        let at = |bytes| Config::builder().message_bytes_max(bytes).build().expect("a size").fragments_max;
        assert_eq!((at(1000), at(65_536), at(65_600), at(4 << 20)), (1025, 1025, 1026, 65_537));
        assert_eq!(at(u64::MAX), u32::MAX);
    }
}
