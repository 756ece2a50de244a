//! Pictures drawn by the server: the ladder of one removal, and health over time.
//!
//! Owns their geometry. Each is SVG with a title that says the same in words; colours come from the
//! style sheet by class, so that dark mode and print need no other picture. maud escapes every text.

use maud::{Markup, html};

use super::view::{Rung, SampleView};
use super::words;

const STEP: usize = 104;
const LEFT: usize = 52;
const MIDDLE: usize = 18;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 96.0;

/// Short names under the rungs.
fn label(name: &str) -> &str {
    match name {
        "requested" => "asked",
        "accepted" => "accepted",
        "applied" => "applied",
        "observed_absent" => "seen gone",
        "effective_absent" => "probed",
        "reverified" => "seen again",
        other => other,
    }
}

/// How far one removal is known, as a ladder from left to right.
pub(super) fn ladder(rungs: &[Rung], end: Option<&str>, with_person: bool) -> Markup {
    let highest = rungs.iter().rposition(|rung| rung.reached);
    let name = highest.map_or("nothing yet", |at| rungs[at].name.as_str());
    let told = match (end, with_person) {
        (Some(end), _) => format!("{}; ended {}", words::spaced(name), words::spaced(end)),
        (None, true) => format!("{}; with a person", words::spaced(name)),
        (None, false) => words::spaced(name),
    };
    let x = |at: usize| LEFT + at * STEP;
    let width = x(rungs.len().saturating_sub(1)) + LEFT;
    html! {
        svg class="ladder" viewBox=(format!("0 0 {width} 46")) role="img"
            aria-label=(format!("Ladder: {told}")) {
            title { (told) }
            @for at in 1..rungs.len() {
                line class=(if highest.is_some_and(|top| at <= top) { "way on" } else { "way" })
                    x1=(x(at - 1)) y1=(MIDDLE) x2=(x(at)) y2=(MIDDLE) {}
            }
            @for (at, rung) in rungs.iter().enumerate() {
                @let top = highest == Some(at);
                @let class = match (rung.reached, top) {
                    (true, true) if with_person => "rung held",
                    (true, true) => "rung top",
                    (true, false) => "rung on",
                    (false, _) => "rung",
                };
                g class=(class) {
                    circle cx=(x(at)) cy=(MIDDLE) r=(if top { 9 } else { 6 }) {
                        title {
                            (words::spaced(&rung.name))
                            @if let Some(time) = rung.at { ", " (words::instant(time)) }
                            @if !rung.reached { ": not reached" }
                        }
                    }
                    @if rung.reached && rung.name != "requested" {
                        path class="tick" d=(format!("M{} {} l3 3 l5 -6", x(at) - 4, MIDDLE)) {}
                    }
                    text x=(x(at)) y="42" text-anchor="middle" { (label(&rung.name)) }
                }
            }
        }
    }
}

/// One series of a plot.
struct Series<'a> {
    title: &'a str,
    unit: &'a str,
    values: Vec<Option<f64>>,
}

/// How a connector was: its state as a band, its accounts and the length of its surveys as lines.
pub(super) fn health(samples: &[SampleView]) -> Markup {
    // Oldest first, as people read time.
    let samples: Vec<_> = samples.iter().rev().collect();
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return html! {};
    };
    let accounts = Series {
        title: "Accounts shown",
        unit: "",
        values: samples
            .iter()
            .map(|sample| sample.accounts.map(|count| count as f64))
            .collect(),
    };
    let took = Series {
        title: "A survey took",
        unit: " ms",
        values: samples
            .iter()
            .map(|sample| Some(sample.took_milliseconds as f64))
            .collect(),
    };
    let failures = Series {
        title: "Failed calls between surveys",
        unit: "",
        values: samples
            .iter()
            .map(|sample| Some(sample.failures as f64))
            .collect(),
    };
    html! {
        div class="plots" {
            (band(&samples))
            (line(&accounts))
            (line(&took))
            (line(&failures))
            p class="axis quiet" { span { (words::minute(first.at)) } span { (words::minute(last.at)) } }
        }
    }
}

fn band(samples: &[&SampleView]) -> Markup {
    let width = WIDTH / samples.len() as f64;
    let well = samples
        .iter()
        .filter(|sample| sample.state == "healthy")
        .count();
    let told = format!("{well} of {} surveys healthy", samples.len());
    html! {
        figure {
            figcaption { "State " span class="quiet" { (told) } }
            svg viewBox=(format!("0 0 {WIDTH} 16")) preserveAspectRatio="none" role="img" class="band"
                aria-label=(told) {
                @for (at, sample) in samples.iter().enumerate() {
                    // What is not well is lower as well as of another colour.
                    @let low = if sample.state == "healthy" { 0.0 } else { 6.0 };
                    rect class={ "st " (sample.state) } x=(format!("{:.1}", at as f64 * width)) y=(low)
                        width=(format!("{:.1}", width.max(1.0))) height=(16.0 - low) {
                        title { (words::minute(sample.at)) ": " (sample.state) ", " (sample.reason) }
                    }
                }
            }
        }
    }
}

fn line(series: &Series<'_>) -> Markup {
    let known = || series.values.iter().flatten().copied();
    let most = known().fold(f64::MIN, f64::max);
    let least = known().fold(f64::MAX, f64::min);
    // One survey alone is a level; it becomes a line with the second.
    let once = [series.values.first().copied().flatten(); 2];
    let values = if series.values.len() == 1 {
        once.as_slice()
    } else {
        series.values.as_slice()
    };
    if most < least {
        return html! {
            figure { figcaption { (series.title) " " span class="quiet" { "no answer yet" } } }
        };
    }
    let newest = known().last().unwrap_or(most);
    let (title, unit) = (series.title, series.unit);
    let told = format!("now {newest}{unit}, between {least}{unit} and {most}{unit}");
    // A line that hardly moves is to look like one: never less than a tenth of its height.
    let span = (most - least).max(most.abs() / 10.0).max(1.0);
    let floor = (least - span * 0.1).max(0.0).min(least);
    let scale = |value: f64| HEIGHT - 4.0 - (value - floor) / (span * 1.2) * (HEIGHT - 8.0);
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let mut path = String::new();
    let mut down = false;
    for (at, value) in values.iter().enumerate() {
        // No answer is a gap, never a zero.
        let Some(value) = value else {
            down = false;
            continue;
        };
        let verb = if down { 'L' } else { 'M' };
        path.push_str(&format!(
            "{verb}{:.1} {:.1} ",
            at as f64 * step,
            scale(*value)
        ));
        down = true;
    }
    html! {
        figure {
            figcaption { (title) " " span class="quiet" { (told) } }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img"
                class="plot" aria-label=(format!("{title}: {told}")) {
                line class="grid" x1="0" x2=(WIDTH) y1=(format!("{:.1}", scale(most))) y2=(format!("{:.1}", scale(most))) {}
                line class="grid" x1="0" x2=(WIDTH) y1=(format!("{:.1}", scale(least))) y2=(format!("{:.1}", scale(least))) {}
                path class="curve" d=(path.trim_end()) {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn rung(name: &str, reached: bool) -> Rung {
        Rung {
            name: name.to_owned(),
            reached,
            at: None,
        }
    }

    #[test]
    fn h1_the_ladder_says_in_words_what_it_shows() {
        let rungs = [
            rung("requested", true),
            rung("accepted", true),
            rung("applied", false),
        ];
        let drawn = ladder(&rungs, None, true).into_string();
        assert!(drawn.contains("Ladder: accepted; with a person"), "{drawn}");
        assert_eq!(drawn.matches("<circle").count(), 3);
        assert_eq!(drawn.matches("class=\"tick\"").count(), 1);
        let ended = ladder(&rungs, Some("attested"), false).into_string();
        assert!(ended.contains("accepted; ended attested"), "{ended}");
    }

    fn sample(state: &str, accounts: Option<u64>) -> SampleView {
        SampleView {
            at: Timestamp::UNIX_EPOCH,
            took_milliseconds: 12,
            state: state.to_owned(),
            reason: "<b>".to_owned(),
            accounts,
            change: None,
            calls: 0,
            failures: 0,
        }
    }

    #[test]
    fn h1_a_survey_without_an_answer_is_a_gap_in_the_plot() {
        let samples = [
            sample("healthy", Some(12)),
            sample("failing", None),
            sample("healthy", Some(10)),
        ];
        let drawn = health(&samples).into_string();
        assert!(drawn.contains("now 12, between 10 and 12"), "{drawn}");
        assert!(drawn.contains("2 of 3 surveys healthy"));
        let path = drawn.split("class=\"curve\" d=\"").nth(1).expect("a curve");
        let path = path.split('"').next().expect("its end");
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert!(!drawn.contains("<b>"), "a reason is text");
        assert_eq!(health(&[]).into_string(), "");
    }
}
