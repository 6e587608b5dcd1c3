//! Figures, for people and for programs.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::load::Done;
use crate::subjects::Subject;
use crate::works::Work;

/// The figures of one window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) req_per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) cpu_us_per_req: f64,
    /// What a database server of its own takes beside that.
    pub(crate) database_us_per_req: Option<f64>,
}

impl Row {
    pub(crate) fn new(done: &Done, cpu: Duration, database: Option<Duration>) -> Self {
        let requests = done.requests as f64;
        let micros = |cpu: Duration| cpu.as_secs_f64() * 1e6 / requests;
        let millis = |quantile| done.latencies.value_at_quantile(quantile) as f64 / 1e6;
        Self {
            req_per_s: requests / done.time.as_secs_f64(),
            p50_ms: millis(0.5),
            p99_ms: millis(0.99),
            cpu_us_per_req: micros(cpu),
            database_us_per_req: database.map(micros),
        }
    }
}

/// All windows, in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<(Work, Subject, Row)>,
    /// Milliseconds from the first request to each tenant to its answer.
    opened: Vec<(Work, Subject, Vec<f64>)>,
}

#[derive(Serialize)]
struct Document {
    machine: Machine,
    rows: Vec<Line>,
}

#[derive(Serialize)]
struct Machine {
    processor: String,
    cores: usize,
    kernel: String,
}

#[derive(Debug, Serialize)]
struct Line {
    work: &'static str,
    subject: &'static str,
    req_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_us_per_req: f64,
    /// What PostgreSQL takes beside that.
    #[serde(skip_serializing_if = "Option::is_none")]
    database_us_per_req: Option<f64>,
    /// CPU per request over the native program's, the median over rounds.
    ratio_to_native: f64,
}

impl Report {
    pub(crate) fn add(&mut self, work: Work, subject: Subject, row: Row) {
        self.rows.push((work, subject, row));
    }

    /// Notes what opening tenants cost: it is no part of the rows.
    pub(crate) fn add_opened(&mut self, work: Work, subject: Subject, times: &[Duration]) {
        let millis = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
        self.opened.push((work, subject, millis));
    }

    fn of(&self, work: Work, subject: Subject, figure: fn(&Row) -> f64) -> Vec<f64> {
        let rows = self.rows.iter().filter(|(w, s, _)| (*w, *s) == (work, subject));
        rows.map(|(_, _, row)| figure(row)).collect()
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for work in Work::ALL {
            let native = self.of(work, Subject::Native, |row| row.cpu_us_per_req);
            for subject in Subject::ALL {
                let cpu = self.of(work, subject, |row| row.cpu_us_per_req);
                if cpu.is_empty() {
                    continue;
                }
                let ratios = cpu.iter().zip(&native).map(|(ours, native)| ours / native);
                let beside =
                    self.of(work, subject, |row| row.database_us_per_req.unwrap_or(f64::NAN));
                lines.push(Line {
                    work: work.name(),
                    subject: subject.name(),
                    req_per_s: median(self.of(work, subject, |row| row.req_per_s)),
                    p50_ms: median(self.of(work, subject, |row| row.p50_ms)),
                    p99_ms: median(self.of(work, subject, |row| row.p99_ms)),
                    ratio_to_native: median(ratios.collect()),
                    cpu_us_per_req: median(cpu),
                    database_us_per_req: Some(median(beside)).filter(|it| it.is_finite()),
                });
            }
        }
        lines
    }

    pub(crate) fn print(&self) -> anyhow::Result<()> {
        say(&format!(
            "{:<21} {:<14} {:>9} {:>9} {:>9} {:>12} {:>13} {:>8}",
            "work", "subject", "req/s", "p50 ms", "p99 ms", "CPU us/req", "PostgreSQL us", "ratio"
        ))?;
        for line in self.lines() {
            say(&format!(
                "{:<21} {:<14} {:>9.0} {:>9.3} {:>9.3} {:>12.1} {:>13} {:>8.2}",
                line.work,
                line.subject,
                line.req_per_s,
                line.p50_ms,
                line.p99_ms,
                line.cpu_us_per_req,
                line.database_us_per_req.map_or_else(|| "-".to_owned(), |us| format!("{us:.1}")),
                line.ratio_to_native
            ))?;
        }
        for (work, subject, times) in &self.opened {
            say(&format!(
                "{}: {} opened {} databases before, at {:.2} ms (median), {:.2} ms at most",
                work.name(),
                subject.name(),
                times.len(),
                median(times.clone()),
                times.iter().copied().fold(0.0, f64::max)
            ))?;
        }
        for (instances, cost_us) in self.sdk_costs_us() {
            say(&format!("the SDK costs {cost_us:.1} us of CPU per request ({instances})"))?;
        }
        for (work, instances, cost_us) in self.entities_cost_us() {
            say(&format!(
                "entities cost {cost_us:.1} us of CPU per request more than SQL: {work} ({instances})"
            ))?;
        }
        Ok(())
    }

    /// What the small guest with the SDK takes more than the one without, the median over rounds.
    fn sdk_costs_us(&self) -> Vec<(&'static str, f64)> {
        let pairs = [
            ("fresh", Subject::SmallFresh, Subject::ByHandFresh),
            ("reused", Subject::SmallReused, Subject::ByHandReused),
        ];
        let costs = pairs.into_iter().filter_map(|(instances, with, without)| {
            Some((instances, self.difference_us(Work::SmallJson, with, without)?))
        });
        costs.collect()
    }

    /// What the guest with entities takes more than the one with SQL, the median over rounds.
    fn entities_cost_us(&self) -> Vec<(&'static str, &'static str, f64)> {
        let pairs = [
            ("fresh", Subject::EntitiesFresh, Subject::HostelFresh),
            ("reused", Subject::EntitiesReused, Subject::HostelReused),
        ];
        let each = Work::ALL.into_iter().flat_map(|work| pairs.map(|pair| (work, pair)));
        let costs = each.filter_map(|(work, (instances, with, without))| {
            Some((work.name(), instances, self.difference_us(work, with, without)?))
        });
        costs.collect()
    }

    fn difference_us(&self, work: Work, with: Subject, without: Subject) -> Option<f64> {
        let cpu = |subject| self.of(work, subject, |row| row.cpu_us_per_req);
        let differences: Vec<f64> =
            cpu(with).iter().zip(cpu(without)).map(|(with, without)| with - without).collect();
        (!differences.is_empty()).then(|| median(differences))
    }

    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let document = Document { machine: Machine::this()?, rows: self.lines() };
        std::fs::write(file, serde_json::to_vec_pretty(&document)?)?;
        Ok(())
    }
}

impl Machine {
    fn this() -> anyhow::Result<Self> {
        let processors = std::fs::read_to_string("/proc/cpuinfo")?;
        let processor = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or_else(String::new, |(_, name)| name.trim().to_owned());
        Ok(Self {
            processor,
            // Not `available_parallelism`: this process is kept on one core.
            cores: processors.lines().filter(|line| line.starts_with("processor")).count(),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        })
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One line for whoever called.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cpu_us_per_req: f64) -> Row {
        Row { req_per_s: 1.0, p50_ms: 1.0, p99_ms: 1.0, cpu_us_per_req, database_us_per_req: None }
    }

    #[test]
    fn a_ratio_is_the_median_over_rounds() {
        let mut report = Report::default();
        for (native, fresh) in [(10.0, 30.0), (20.0, 40.0), (10.0, 90.0)] {
            report.add(Work::SmallJson, Subject::Native, row(native));
            report.add(Work::SmallJson, Subject::HostelFresh, row(fresh));
        }
        let lines = report.lines();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].ratio_to_native, 1.0);
        assert_eq!(lines[1].ratio_to_native, 3.0);
        assert_eq!(lines[1].cpu_us_per_req, 40.0);
    }

    #[test]
    fn the_sdk_costs_what_a_round_takes_more_with_it() {
        let mut report = Report::default();
        for (with, without) in [(10.0, 9.0), (40.0, 38.0), (10.0, 5.0)] {
            report.add(Work::SmallJson, Subject::SmallFresh, row(with));
            report.add(Work::SmallJson, Subject::ByHandFresh, row(without));
        }
        assert_eq!(report.sdk_costs_us(), [("fresh", 2.0)]);
    }
}
