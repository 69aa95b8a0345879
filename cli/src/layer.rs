//! Options that were said elsewhere than on the command line, in the environment or in a file: the command line's own parsers judge
//! them too, one by one, so that an error can say where its value stands.

use std::{any::TypeId, error::Error, ffi::OsString};

use clap::{
    Arg, Args, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};
use framecast_hub::Secret;

use crate::failure::Failure;

/// A value of an option.
pub(crate) struct Given {
    /// The option, without its dashes.
    pub(crate) name: String,
    pub(crate) text: String,
    /// As it was written; nobody sees that of a secret.
    pub(crate) shown: String,
    /// What an error begins with.
    pub(crate) place: String,
}

/// The options of `T`, to be looked at.
pub(crate) fn command<T: Args>() -> Command {
    T::augment_args(Command::new("framecast").no_binary_name(true).disable_help_flag(true))
}

/// The options of `T` that the environment has: `FRAMECAST_JWT_SECRET` is `--jwt-secret`. An empty variable says nothing.
pub(crate) fn environment<T: Args>(value_of: impl Fn(&str) -> Option<OsString>) -> Result<T, Failure> {
    let mut given = Vec::new();
    for argument in command::<T>().get_arguments() {
        let Some(name) = argument.get_long() else { continue };
        let variable_name = format!("{PREFIX}{}", variable(name));
        let Some(value) = value_of(&variable_name).filter(|value| !value.is_empty()) else { continue };
        let value =
            value.into_string().map_err(|_| Failure::usage(format_args!("{variable_name}: not UTF-8")))?;
        let values = match argument.get_value_delimiter() {
            Some(delimiter) => value.split(delimiter).map(str::trim).collect(),
            None => vec![&*value],
        };
        given.extend(values.into_iter().map(|text| Given {
            name: name.to_owned(),
            text: text.to_owned(),
            shown: format!("{text:?}"),
            place: variable_name.clone(),
        }));
    }
    read(&given)
}

/// Refuses variables that are meant to be an option of `T` and are none: whoever has written `FRAMECAST_JWT_SECRT` would have a server
/// without a secret. `others` are known too, without their `FRAMECAST_`. As elsewhere, one that is empty says nothing.
pub(crate) fn known<T: Args>(
    variables: impl Iterator<Item = (OsString, OsString)>,
    others: &[&str],
) -> Result<(), Failure> {
    let command = command::<T>();
    let name = |(name, value): (OsString, OsString)| {
        let name = name.to_string_lossy().strip_prefix(PREFIX)?.to_owned();
        let is_known = others.contains(&&*name)
            || is_of_kubernetes(&name)
            || command.get_arguments().filter_map(Arg::get_long).any(|option| variable(option) == name);
        (!is_known && !value.is_empty()).then_some(name)
    };
    // The first, so that it is the same one each time.
    let Some(unknown) = variables.filter_map(name).min() else { return Ok(()) };
    Err(Failure::usage(match similar(&command, &unknown.replace('_', "-").to_lowercase()) {
        Some(option) => {
            format!("{PREFIX}{unknown}: no such option; did you mean {PREFIX}{}?", variable(&option))
        }
        None => format!("{PREFIX}{unknown}: no such option"),
    }))
}

/// What a container finds in its environment beside a service that is called `framecast`, or `framecast-` and more:
/// `FRAMECAST_SERVICE_HOST`, `FRAMECAST_PORT_8000_TCP` and others.
fn is_of_kubernetes(name: &str) -> bool {
    let name = format!("_{name}");
    ["_SERVICE_HOST", "_PORT"].iter().any(|end| name.ends_with(end)) || name.contains("_PORT_")
}

/// An option's variable, without its `FRAMECAST_`.
fn variable(option: &str) -> String {
    option.replace('-', "_").to_uppercase()
}

const PREFIX: &str = "FRAMECAST_";

/// The options of `T` that are given, if each is right.
pub(crate) fn read<T: Args>(given: &[Given]) -> Result<T, Failure> {
    let command = command::<T>();
    given.iter().try_for_each(|one| judge(&command, one))?;
    // Each is right, and so are all but for one that is said twice.
    let matches = command.try_get_matches_from(given.iter().map(argument));
    let options = matches.and_then(|matches| T::from_arg_matches(&matches));
    options.map_err(|error| Failure::usage(summary(&error)))
}

/// Whether a value is one that its option may have.
pub(crate) fn judge(command: &Command, given: &Given) -> Result<(), Failure> {
    let Err(error) = command.clone().try_get_matches_from([argument(given)]) else { return Ok(()) };
    let option = command.get_arguments().find(|option| option.get_long() == Some(&given.name));
    let why = describe(&error, option, &given.shown);
    Err(Failure::usage(format_args!("{}: {why}", given.place)))
}

/// The value of an option that nobody is to see. Its error does not show it.
pub(crate) fn secret(text: &str) -> Result<Secret, String> {
    if text.is_empty() { Err("is empty".to_owned()) } else { Ok(Secret::new(text)) }
}

/// Whether an option's values are of this type.
pub(crate) fn is_of<V: 'static>(argument: &Arg) -> bool {
    argument.get_value_parser().type_id() == TypeId::of::<V>()
}

/// The option that somebody may have meant who wrote this.
pub(crate) fn similar(command: &Command, name: &str) -> Option<String> {
    let error = command.clone().try_get_matches_from([format!("--{name}=")]).err()?;
    match error.get(ContextKind::SuggestedArg)? {
        ContextValue::String(option) => Some(option.trim_start_matches('-').to_owned()),
        _ => None,
    }
}

/// What an error of clap's says is wrong, in one line; its other ones are advice.
pub(crate) fn summary(error: &clap::Error) -> String {
    let text = error.to_string();
    let mut lines = text.lines();
    let line = lines.next().unwrap_or_default().trim_start_matches("error: ");
    if line.ends_with(':') {
        // A list, with a line for each of it.
        let listed: Vec<_> = lines.map_while(|line| line.strip_prefix("  ")).collect();
        return format!("{line} {}", listed.join(", "));
    }
    line.to_owned()
}

fn argument(given: &Given) -> String {
    format!("--{}={}", given.name, given.text)
}

/// What is wrong with a value.
fn describe(error: &clap::Error, option: Option<&Arg>, shown: &str) -> String {
    let why = match (error.source(), error.kind()) {
        (Some(source), _) => source.to_string(),
        (None, ErrorKind::InvalidValue) if option.is_some_and(|option| !is_of::<Secret>(option)) => {
            match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(values)) if !values.is_empty() => {
                    format!("must be one of {}", values.join(", "))
                }
                _ => "is empty".to_owned(),
            }
        }
        _ => "is empty".to_owned(),
    };
    // Some say themselves which value they do not like.
    if option.is_some_and(is_of::<Secret>) || why.starts_with(shown) {
        why
    } else {
        format!("{shown}: {why}")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[derive(Args, Debug)]
    struct Few {
        #[arg(long, value_parser = secret)]
        the_secret: Option<Secret>,
        #[arg(long, value_delimiter = ',', action = clap::ArgAction::Append)]
        names: Option<Vec<String>>,
        #[arg(long)]
        count: Option<u16>,
    }

    fn environment(name: &str, value: impl Into<OsString>) -> Result<Few, Failure> {
        let value = value.into();
        super::environment(|asked| (asked == name).then(|| value.clone()))
    }

    #[test]
    fn the_environment_says_what_the_command_line_does() {
        let secret = environment("FRAMECAST_THE_SECRET", "a,b=c ").expect("it is one").the_secret;
        assert_eq!(secret.expect("it is there").expose(), "a,b=c ");
        let names = environment("FRAMECAST_NAMES", "a, b,c d").expect("they are").names;
        assert_eq!(names.expect("they are there"), ["a", "b", "c d"]);
        assert_eq!(environment("FRAMECAST_COUNT", "7").expect("it is a number").count, Some(7));
        assert!(environment("FRAMECAST_COUNT", "").expect("it says nothing").count.is_none());
        assert!(environment("COUNT", "7").expect("it is another's").count.is_none());
    }

    #[test]
    fn an_error_names_the_variable_and_shows_no_secret() {
        let error = environment("FRAMECAST_COUNT", "x").expect_err("it is no number").to_string();
        assert_eq!(error, "FRAMECAST_COUNT: \"x\": invalid digit found in string");
        let bytes = OsString::from_vec(b"s3cret\xff".to_vec());
        let error = environment("FRAMECAST_THE_SECRET", bytes).expect_err("it is no text").to_string();
        assert_eq!(error, "FRAMECAST_THE_SECRET: not UTF-8");
        let few = environment("FRAMECAST_THE_SECRET", "s3cret").expect("it is one");
        assert!(!format!("{few:?}").contains("s3cret"), "{few:?}");
    }

    #[test]
    fn variables_that_are_no_option_are_refused() {
        let judged = |names: &[&str]| {
            let variables = names.iter().map(|name| (OsString::from(name), OsString::from("s3cret")));
            known::<Few>(variables, &["SERVER"]).map_err(|error| error.to_string())
        };
        let others = ["FRAMECAST_THE_SECRET", "FRAMECAST_SERVER", "PATH", "MY_FRAMECAST_NAME", "FRAMECAST"];
        assert_eq!(judged(&others), Ok(()));
        let kubernetes = [
            "FRAMECAST_SERVICE_HOST",
            "FRAMECAST_SERVICE_PORT",
            "FRAMECAST_SERVICE_PORT_HTTP",
            "FRAMECAST_PORT",
            "FRAMECAST_PORT_8000_TCP_ADDR",
            "FRAMECAST_HUB_PORT_8000_TCP",
        ];
        assert_eq!(judged(&kubernetes), Ok(()));
        let error = "FRAMECAST_THE_SECRT: no such option; did you mean FRAMECAST_THE_SECRET?";
        assert_eq!(judged(&["FRAMECAST_ZZZ", "FRAMECAST_THE_SECRT"]), Err(error.to_owned()));
        assert_eq!(judged(&["FRAMECAST_ZZZ"]), Err("FRAMECAST_ZZZ: no such option".to_owned()));
        let empty = [("FRAMECAST_ZZZ".into(), "".into())];
        assert!(known::<Few>(empty.into_iter(), &[]).is_ok());
    }
}
