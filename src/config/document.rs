//! Options as a document says them: TOML, JSON, or the environment, where everything is text.
//!
//! Always: a field that is not known, or not of the strategy, is refused, and so are options that cannot work: a slip of the pen is no
//! default. What a document leaves out is what the code's own default is. Durations are text with units, such as `500ms`, `5s` or `1h 30m`;
//! numbers may be text.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, value};

use super::restart::{ExponentialDelay, Restart};
use super::{Checkpoints, Guarantee, KeepAtEnd, Watchdog};

/// A value that may come as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Maybe<T> {
    Itself(T),
    Text(String),
}

/// What is there is a value, and no option.
fn itself<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn number<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de> + FromStr<Err: Display>,
{
    match Maybe::deserialize(deserializer)? {
        Maybe::Itself(number) => Ok(Some(number)),
        Maybe::Text(text) => {
            text.parse().map(Some).map_err(|error| D::Error::custom(format!("'{text}' is no such number: {error}")))
        }
    }
}

fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    match Maybe::deserialize(deserializer)? {
        Maybe::Itself(truth) => Ok(Some(truth)),
        Maybe::Text(text) => {
            text.parse().map(Some).map_err(|_| D::Error::custom(format!("'{text}' is neither 'true' nor 'false'")))
        }
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let refused = |error| D::Error::custom(format!("'{text}' is no duration such as 500ms, 5s or 1h 30m: {error}"));
    humantime::parse_duration(&text).map(Some).map_err(refused)
}

/// What a document says of checkpoints.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct CheckpointsDocument {
    #[serde(deserialize_with = "duration")]
    interval: Option<Duration>,
    guarantee: Guarantee,
    #[serde(deserialize_with = "duration")]
    min_pause: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    timeout: Option<Duration>,
    #[serde(deserialize_with = "number")]
    max_concurrent: Option<usize>,
    #[serde(deserialize_with = "number")]
    retain: Option<usize>,
    #[serde(deserialize_with = "number")]
    tolerable_failures: Option<u32>,
    #[serde(deserialize_with = "number")]
    keep_views: Option<u64>,
    #[serde(deserialize_with = "truth")]
    keep_on_finish: Option<bool>,
    #[serde(deserialize_with = "truth")]
    keep_on_cancel: Option<bool>,
    #[serde(deserialize_with = "truth")]
    keep_on_failure: Option<bool>,
}

impl<'de> Deserialize<'de> for Checkpoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let said = CheckpointsDocument::deserialize(deserializer)?;
        let default = Checkpoints::manual();
        let checkpoints = Checkpoints {
            interval: said.interval,
            guarantee: said.guarantee,
            min_pause: said.min_pause.unwrap_or(default.min_pause),
            timeout: said.timeout.unwrap_or(default.timeout),
            max_concurrent: said.max_concurrent.unwrap_or(default.max_concurrent),
            retain: said.retain.unwrap_or(default.retain),
            tolerable_failures: said.tolerable_failures.unwrap_or(default.tolerable_failures),
            views_bytes: said.keep_views.unwrap_or(default.views_bytes),
            keep: KeepAtEnd {
                finished: said.keep_on_finish.unwrap_or(default.keep.finished),
                cancelled: said.keep_on_cancel.unwrap_or(default.keep.cancelled),
                failed: said.keep_on_failure.unwrap_or(default.keep.failed),
            },
        };
        checkpoints.check().map_err(D::Error::custom)?;
        Ok(checkpoints)
    }
}

/// What a document says of restarts; which of it may be there depends on the strategy.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RestartDocument {
    #[serde(deserialize_with = "itself")]
    strategy: Option<Strategy>,
    #[serde(deserialize_with = "number")]
    restarts: Option<u32>,
    #[serde(deserialize_with = "duration")]
    delay: Option<Duration>,
    #[serde(deserialize_with = "number")]
    failures: Option<u32>,
    #[serde(deserialize_with = "duration")]
    per: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    initial: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    up_to: Option<Duration>,
    #[serde(deserialize_with = "number")]
    multiplier: Option<f64>,
    #[serde(deserialize_with = "number")]
    jitter: Option<f64>,
    #[serde(deserialize_with = "duration")]
    reset_after: Option<Duration>,
    #[serde(deserialize_with = "number")]
    at_most: Option<u32>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Strategy {
    Never,
    FixedDelay,
    FailureRate,
    ExponentialDelay,
}

impl RestartDocument {
    /// The fields that are there.
    fn said(&self) -> Vec<&'static str> {
        let fields = [
            ("restarts", self.restarts.is_some()),
            ("delay", self.delay.is_some()),
            ("failures", self.failures.is_some()),
            ("per", self.per.is_some()),
            ("initial", self.initial.is_some()),
            ("up-to", self.up_to.is_some()),
            ("multiplier", self.multiplier.is_some()),
            ("jitter", self.jitter.is_some()),
            ("reset-after", self.reset_after.is_some()),
            ("at-most", self.at_most.is_some()),
        ];
        fields.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
    }

    fn restart(self) -> Result<Restart, value::Error> {
        let Some(strategy) = self.strategy else { return Err(value::Error::missing_field("strategy")) };
        let knows = match strategy {
            Strategy::Never => &[][..],
            Strategy::FixedDelay => &["restarts", "delay"],
            Strategy::FailureRate => &["failures", "per", "delay"],
            Strategy::ExponentialDelay => &["initial", "up-to", "multiplier", "jitter", "reset-after", "at-most"],
        };
        if let Some(other) = self.said().into_iter().find(|said| !knows.contains(said)) {
            return Err(value::Error::unknown_field(other, knows));
        }
        Ok(match strategy {
            Strategy::Never => Restart::never(),
            Strategy::FixedDelay => Restart::fixed_delay(there("restarts", self.restarts)?, there("delay", self.delay)?),
            Strategy::FailureRate => {
                Restart::failure_rate(there("failures", self.failures)?, there("per", self.per)?, there("delay", self.delay)?)
            }
            Strategy::ExponentialDelay => self.exponential().into(),
        })
    }

    fn exponential(self) -> ExponentialDelay {
        let default = self.initial.map_or_else(ExponentialDelay::default, ExponentialDelay::from);
        ExponentialDelay {
            longest: self.up_to.unwrap_or(default.longest),
            multiplier: self.multiplier.unwrap_or(default.multiplier),
            jitter: self.jitter.unwrap_or(default.jitter),
            reset_after: self.reset_after.unwrap_or(default.reset_after),
            at_most: self.at_most,
            ..default
        }
    }
}

fn there<T>(name: &'static str, said: Option<T>) -> Result<T, value::Error> {
    said.ok_or_else(|| value::Error::missing_field(name))
}

impl<'de> Deserialize<'de> for Restart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let restart = RestartDocument::deserialize(deserializer)?.restart().map_err(D::Error::custom)?;
        restart.check().map_err(D::Error::custom)?;
        Ok(restart)
    }
}

/// What a document says of the watchdog.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct WatchdogDocument {
    #[serde(deserialize_with = "duration")]
    report_after: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    fail_after: Option<Duration>,
    #[serde(deserialize_with = "duration")]
    give_up_after: Option<Duration>,
    #[serde(deserialize_with = "number")]
    overdue_after: Option<u32>,
}

impl<'de> Deserialize<'de> for Watchdog {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let said = WatchdogDocument::deserialize(deserializer)?;
        let default = Watchdog::default();
        let watchdog = Watchdog {
            report_after: said.report_after.unwrap_or(default.report_after),
            fail_after: said.fail_after.unwrap_or(default.fail_after),
            give_up_after: said.give_up_after.unwrap_or(default.give_up_after),
            overdue_after: said.overdue_after.unwrap_or(default.overdue_after),
        };
        watchdog.check().map_err(D::Error::custom)?;
        Ok(watchdog)
    }
}

#[cfg(test)]
mod tests {
    use serde::de::{DeserializeOwned, IntoDeserializer};

    use super::*;
    use crate::config::restart::RestartPolicy;
    use crate::time::{hours, millis, minutes, secs};

    #[test]
    fn a_document_says_what_the_code_says() {
        let text = r#"
            interval = "5s"
            guarantee = "at-least-once"
            min-pause = "500ms"
            timeout = "1m 30s"
            max-concurrent = 2
            retain = 3
            tolerable-failures = 4
            keep-views = 1024
            keep-on-finish = false
            keep-on-cancel = "false"
            keep-on-failure = true
        "#;
        let said: Checkpoints = toml::from_str(text).unwrap();
        let coded = Checkpoints::every(secs(5)).at_least_once().min_pause(millis(500)).timeout(secs(90)).max_concurrent(2);
        assert_eq!(said, coded.retain(3).tolerable_failures(4).keep_views(1024).keep_on_finish(false).keep_on_cancel(false));
        assert_eq!(toml::from_str::<Checkpoints>("").unwrap(), Checkpoints::manual(), "what is left out is the default");
    }

    /// What the environment gives: texts.
    fn of_texts<T: DeserializeOwned>(fields: &[(&str, &str)]) -> Result<T, value::Error> {
        T::deserialize(value::MapDeserializer::<_, value::Error>::new(
            fields
                .iter()
                .map(|(name, text)| ((*name).into_deserializer(), IntoDeserializer::<value::Error>::into_deserializer(*text))),
        ))
    }

    #[test]
    fn the_environment_gives_texts() {
        let said: Checkpoints = of_texts(&[("interval", "5s"), ("retain", "3"), ("guarantee", "exactly-once")]).unwrap();
        assert_eq!(said, Checkpoints::every(secs(5)).retain(3));
        let refused = of_texts::<Checkpoints>(&[("retain", "three")]).unwrap_err().to_string();
        assert!(refused.contains("'three' is no such number"), "{refused}");
        let refused = of_texts::<Checkpoints>(&[("keep-on-cancel", "no")]).unwrap_err().to_string();
        assert!(refused.contains("'no' is neither 'true' nor 'false'"), "{refused}");
        let said: Restart = of_texts(&[("strategy", "exponential-delay"), ("initial", "2m"), ("jitter", "0.5")]).unwrap();
        let RestartPolicy::Exponential(delay) = said.0 else { panic!("{said:?}") };
        assert_eq!(delay, ExponentialDelay::from(minutes(2)).jitter(0.5));
    }

    #[test]
    fn a_watchdog_is_read_and_what_cannot_work_is_refused() {
        let text = "report-after = '5s'\nfail-after = '1m'\ngive-up-after = '30s'\noverdue-after = 5";
        let coded = Watchdog::default().report_after(secs(5)).fail_after(minutes(1)).give_up_after(secs(30)).overdue_after(5);
        assert_eq!(toml::from_str::<Watchdog>(text).unwrap(), coded);
        assert_eq!(toml::from_str::<Watchdog>("").unwrap(), Watchdog::default(), "what is left out is the default");
        let said: Watchdog = of_texts(&[("report-after", "5s"), ("overdue-after", "7")]).unwrap();
        assert_eq!(said, Watchdog::default().report_after(secs(5)).overdue_after(7));
        for (wrong, says) in [("fail = '5s'", "unknown field `fail`"), ("fail-after = '0s'", "a time of the watchdog is zero")] {
            let refused = toml::from_str::<Watchdog>(wrong).unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
        }
    }

    #[test]
    fn strategies_are_read_by_their_names() {
        let read = |text: &str| format!("{:?}", toml::from_str::<Restart>(text).unwrap());
        assert_eq!(read("strategy = 'never'"), format!("{:?}", Restart::never()));
        assert_eq!(
            read("strategy = 'fixed-delay'\nrestarts = 3\ndelay = '10s'"),
            format!("{:?}", Restart::fixed_delay(3, secs(10)))
        );
        assert_eq!(
            read("strategy = 'failure-rate'\nfailures = 3\nper = '5m'\ndelay = '1s'"),
            format!("{:?}", Restart::failure_rate(3, minutes(5), secs(1)))
        );
        let delay = ExponentialDelay::from(millis(100)).up_to(secs(9)).multiplier(2.0).reset_after(hours(2)).at_most(7);
        assert_eq!(
            read(
                "strategy = 'exponential-delay'\ninitial = '100ms'\nup-to = '9s'\nmultiplier = 2.0\nreset-after = '2h'\nat-most = 7"
            ),
            format!("{:?}", Restart::from(delay))
        );
    }

    #[test]
    fn what_means_nothing_is_refused_and_named() {
        let refused = |text: &str| {
            let checkpoints = toml::from_str::<Checkpoints>(text).map(drop).unwrap_err().to_string();
            checkpoints.lines().last().unwrap_or_default().to_owned()
        };
        assert!(refused("intervall = '5s'").contains("unknown field `intervall`"));
        assert!(refused("interval = '5'").contains("'5' is no duration such as 500ms, 5s or 1h 30m"));
        assert!(refused("interval = '0s'").contains("the checkpoint interval is zero"));
        let refused = |text: &str| toml::from_str::<Restart>(text).map(drop).unwrap_err().to_string();
        assert!(refused("restarts = 3").contains("missing field `strategy`"));
        assert!(refused("strategy = 'fixed-delay'\ndelay = '1s'").contains("missing field `restarts`"));
        assert!(refused("strategy = 'never'\ndelay = '1s'").contains("unknown field `delay`"));
        assert!(refused("strategy = 'sometimes'").contains("unknown variant `sometimes`"));
        assert!(refused("strategy = 'exponential-delay'\njitter = 2.0").contains("jitter is not from 0 to 1"));
    }
}
