//! Where settings come from, by their names.

use std::{collections::BTreeMap, ffi::OsString};

/// How a program's environment looks: names and values.
pub type Environment = BTreeMap<String, String>;

/// The variables of a process that are text; no setting is anything else.
pub fn utf8(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Environment {
    variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// A setting that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value:?}: {reason}")]
pub struct SettingError {
    /// Its name.
    pub name: &'static str,
    /// Its value, or `***`.
    pub value: String,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// Reads settings by name. An empty value counts as unset, as compose files write it.
pub(super) struct Source<'a>(pub(super) &'a Environment);

impl Source<'_> {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    pub(super) fn parse<T>(
        &self,
        name: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, SettingError> {
        let Some(text) = self.text(name) else { return Ok(default) };
        parse(text).map_err(|reason| SettingError { name, value: text.to_owned(), reason })
    }

    pub(super) fn secret<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, SettingError> {
        let parse = |text| parse(text).map_err(|reason| SettingError { name, value: "***".into(), reason });
        self.text(name).map(parse).transpose()
    }
}
