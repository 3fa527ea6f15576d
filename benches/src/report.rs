//! The table of results.

use crate::{machine::Machine, settings::Settings};
use anyhow::Result;
use std::fmt;

/// Whether a bar is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The figure is at least as good as the bar.
    Met,
    /// It is not.
    Missed,
}

impl Verdict {
    /// Of a bar that is met when this holds.
    pub(crate) fn of(met: bool) -> Self {
        if met { Self::Met } else { Self::Missed }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::Missed => "**missed**",
        })
    }
}

/// One line of the results.
#[derive(Debug)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) what: String,
    /// What was promised.
    pub(crate) bar: String,
    /// What came out.
    pub(crate) measured: String,
    /// The figure as a part of the bar, or of what it is measured against.
    pub(crate) ratio: Option<f64>,
    /// Whether that is good.
    pub(crate) verdict: Verdict,
    /// What keeps it from being better.
    pub(crate) bound: String,
}

/// A table of details.
#[derive(Debug)]
struct Table {
    title: String,
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    date: String,
    machine: Machine,
    figures: Vec<Figure>,
    tables: Vec<Table>,
    notes: Vec<String>,
}

impl Report {
    /// An empty one, for this machine.
    pub(crate) fn begin(settings: &Settings) -> Result<Self> {
        let machine = Machine::look(settings)?;
        Ok(Self { date: settings.date.clone(), machine, figures: Vec::new(), tables: Vec::new(), notes: Vec::new() })
    }

    /// Where it was made.
    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Adds a line.
    pub(crate) fn figure(&mut self, figure: Figure) {
        eprintln!("{}: {} (bar {}) {}", figure.what, figure.measured, figure.bar, figure.verdict);
        self.figures.push(figure);
    }

    /// Adds a table of details.
    pub(crate) fn table(&mut self, title: &str, head: &[&str], rows: Vec<Vec<String>>) {
        eprintln!("{title}");
        for row in &rows {
            eprintln!("  {}", row.join(" | "));
        }
        let head = head.iter().map(ToString::to_string).collect();
        self.tables.push(Table { title: title.to_owned(), head, rows });
    }

    /// Adds a sentence.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        eprintln!("{note}");
        self.notes.push(note);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# What HyperSend does on one machine\n")?;
        writeln!(
            f,
            "Made by `make bench`, {}. Both ends of everything share the machine's cores, so rates are floors:",
            self.date
        )?;
        writeln!(f, "ratios, processor seconds per GB (10^9 bytes) and peak memory are what compares.\n")?;
        writeln!(f, "{}", self.machine)?;
        let head = ["figure", "bar", "measured", "ratio", "verdict", "what bounds it"].map(ToOwned::to_owned);
        let rows = self.figures.iter().map(|figure| {
            let ratio = figure.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
            let Figure { what, bar, measured, bound, verdict, .. } = figure;
            vec![what.clone(), bar.clone(), measured.clone(), ratio, verdict.to_string(), bound.clone()]
        });
        markdown(f, &head, rows)?;
        for table in &self.tables {
            writeln!(f, "\n## {}\n", table.title)?;
            markdown(f, &table.head, table.rows.iter().cloned())?;
        }
        if !self.notes.is_empty() {
            writeln!(f, "\n## Notes\n")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "- {note}"))
    }
}

fn markdown(f: &mut fmt::Formatter<'_>, head: &[String], rows: impl Iterator<Item = Vec<String>>) -> fmt::Result {
    writeln!(f, "| {} |", head.join(" | "))?;
    writeln!(f, "|{}", " --- |".repeat(head.len()))?;
    for row in rows {
        writeln!(f, "| {} |", row.join(" | "))?;
    }
    Ok(())
}
