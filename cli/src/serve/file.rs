//! The file of `--config`: TOML whose keys are the options' names, with tables for limits and routes. What is wrong in it is said
//! with its line, and without what the line says, which may be a secret.

use std::{fmt, fs, ops::Range, path::Path, time::Duration};

use clap::{Arg, ArgAction, Command};
use framecast_hub::{BuildError, Hub, RouteError};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    options::{Limits, Options},
    values::Compression,
};
use crate::{
    failure::Failure,
    layer::{self, Given, is_of},
};

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) options: Options,
    /// Paths, and the rooms that they subscribe to.
    pub(super) routes: Vec<(String, String)>,
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::usage(format_args!("cannot read {}: {error}", path.display())))?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// `name` is what errors call it.
    fn parse(name: &str, text: &str) -> Result<Self, Failure> {
        let mut reader = Reader {
            name,
            text,
            options: layer::command::<Options>(),
            limits: layer::command::<Limits>(),
            given: Vec::new(),
        };
        let document = DeTable::parse(text)
            .map_err(|error| reader.wrong(error.span().unwrap_or_default(), error.message()))?;
        let mut routes = Vec::new();
        for (key, value) in in_order(document.get_ref()) {
            match &**key.get_ref() {
                "limits" => {
                    for (key, value) in in_order(reader.table(key, value)?) {
                        reader.option(true, key, value)?;
                    }
                }
                "routes" => {
                    for (path, room) in in_order(reader.table(key, value)?) {
                        routes.push(reader.route(path, room)?);
                    }
                }
                _ => reader.option(false, key, value)?,
            }
        }
        Ok(Self { options: layer::read(&reader.given)?, routes })
    }
}

/// On its way through a file.
struct Reader<'f> {
    name: &'f str,
    text: &'f str,
    options: Command,
    limits: Command,
    given: Vec<Given>,
}

type Key<'f> = Spanned<std::borrow::Cow<'f, str>>;
type Value<'f> = Spanned<DeValue<'f>>;

impl Reader<'_> {
    /// A key that must be an option's name; in the table of limits, a limit's.
    fn option(&mut self, in_limits: bool, key: &Key<'_>, value: &Value<'_>) -> Result<(), Failure> {
        let name = key.get_ref().replace('_', "-");
        let wrong = |why: &str| self.wrong(key.span(), format_args!("{}: {why}", key.get_ref()));
        // A file that names another one would have to be read first.
        let option = self.options.get_arguments().find(|option| option.get_long() == Some(&name));
        let Some(option) = option.filter(|_| name != "config") else {
            let command = if in_limits { &self.limits } else { &self.options };
            return Err(match layer::similar(command, &name).filter(|similar| similar != "config") {
                Some(similar) => wrong(&format!("no such option; did you mean {similar}?")),
                None => wrong("no such option"),
            });
        };
        match (in_limits, self.limits.get_arguments().any(|limit| limit.get_long() == Some(&name))) {
            (false, true) => return Err(wrong("belongs in the table [limits]")),
            (true, false) => return Err(wrong("is no limit; it belongs before the tables")),
            _ => {}
        }
        if self.given.iter().any(|given| given.name == name) {
            return Err(wrong("is said twice"));
        }
        let values = match value.get_ref() {
            DeValue::Array(values) if matches!(option.get_action(), ArgAction::Append) => {
                values.iter().collect()
            }
            _ => vec![value],
        };
        let given = values.into_iter().map(|value| self.value(&name, option, value));
        let given: Vec<_> = given.collect::<Result<_, _>>()?;
        self.given.extend(given);
        Ok(())
    }

    /// A value of the type that its option has.
    fn value(&self, name: &str, option: &Arg, value: &Value<'_>) -> Result<Given, Failure> {
        let kind = Kind::of(option);
        let (text, shown) = match (kind, value.get_ref()) {
            (Kind::Text | Kind::Texts | Kind::Compression, DeValue::String(text)) => {
                (text.to_string(), format!("{text:?}"))
            }
            (Kind::Truth | Kind::Compression, DeValue::Boolean(truth)) => {
                (truth.to_string(), truth.to_string())
            }
            (Kind::Number, DeValue::Integer(number)) => {
                let number = i64::from_str_radix(number.as_str(), number.radix());
                let number =
                    number.map_err(|_| self.wrong(value.span(), format_args!("{name}: is too large")))?;
                (number.to_string(), number.to_string())
            }
            (Kind::Number, DeValue::Float(number)) => {
                (number.as_str().to_owned(), number.as_str().to_owned())
            }
            (kind, other) => {
                let why = format_args!("{name}: must be {kind}, not of the type {}", other.type_str());
                return Err(self.wrong(value.span(), why));
            }
        };
        let place = format!("{}:{}: {name}", self.name, self.line(value.span()));
        let given = Given { name: name.to_owned(), text, shown, place };
        layer::judge(&self.options, &given).map(|()| given)
    }

    /// A path, and the room that it subscribes to.
    fn route(&self, path: &Key<'_>, room: &Value<'_>) -> Result<(String, String), Failure> {
        let DeValue::String(to) = room.get_ref() else {
            let why = format_args!("routes: the room of {:?} must be a string", path.get_ref());
            return Err(self.wrong(room.span(), why));
        };
        match Hub::builder().route(path.get_ref(), to).build() {
            Ok(_) => Ok((path.get_ref().to_string(), to.to_string())),
            Err(error) => {
                let is_of_room =
                    matches!(error, BuildError::Route(RouteError::Room(_) | RouteError::Never(_)));
                let span = if is_of_room { room.span() } else { path.span() };
                Err(self.wrong(span, format_args!("routes: {error}")))
            }
        }
    }

    fn table<'v, 't>(&self, key: &Key<'_>, value: &'v Value<'t>) -> Result<&'v DeTable<'t>, Failure> {
        let table = value.get_ref().as_table();
        table.ok_or_else(|| self.wrong(key.span(), format_args!("{}: must be a table", key.get_ref())))
    }

    fn wrong(&self, at: Range<usize>, why: impl fmt::Display) -> Failure {
        Failure::usage(format_args!("{}:{}: {why}", self.name, self.line(at)))
    }

    /// From 1.
    fn line(&self, at: Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..at.start).unwrap_or_default();
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }
}

/// What a value of an option is in TOML.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Number,
    Truth,
    Compression,
}

impl Kind {
    fn of(option: &Arg) -> Self {
        if is_of::<bool>(option) {
            Self::Truth
        } else if [is_of::<u16>, is_of::<u32>, is_of::<u64>, is_of::<Duration>].iter().any(|is| is(option)) {
            Self::Number
        } else if is_of::<Compression>(option) {
            Self::Compression
        } else if matches!(option.get_action(), ArgAction::Append) {
            Self::Texts
        } else {
            Self::Text
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a string",
            Self::Texts => "a string or an array of them",
            Self::Number => "a number",
            Self::Truth => "true or false",
            Self::Compression => "a string, true or false",
        })
    }
}

/// As they are written, so that the first error is the first in the file.
fn in_order<'v, 't>(table: &'v DeTable<'t>) -> Vec<(&'v Key<'t>, &'v Value<'t>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

#[cfg(test)]
mod tests;
