//! How a family of metrics comes about.
//!
//! Owns the registering of families with their labels and buckets. Names none of them; that is `metrics`,
//! and a test there registers them all.

use prometheus::{HistogramVec, IntCounterVec, IntGaugeVec, Registry, histogram_opts, opts};

/// Registers families; the names are constants of this file, so that a refusal is a fault of it.
#[derive(Default)]
pub(super) struct Registrar(pub(super) Registry);

impl Registrar {
    fn add<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        made: prometheus::Result<C>,
    ) -> C {
        let collector = made.expect("names and labels are constants, checked by a test");
        self.0
            .register(Box::new(collector.clone()))
            .expect("no name is used twice, checked by a test");
        collector
    }

    pub(super) fn counter(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let counter = self.add(IntCounterVec::new(opts!(name, help), labels));
        if labels.is_empty() {
            // On the page before anything is counted, so that a rate sees the first one.
            counter.with_label_values::<&str>(&[]);
        }
        counter
    }

    pub(super) fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(opts!(name, help), labels))
    }

    pub(super) fn histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> HistogramVec {
        self.add(HistogramVec::new(
            histogram_opts!(name, help, buckets.to_vec()),
            labels,
        ))
    }
}
