//! What the nodes count themselves: their metrics, and the statements that they send to the database at rest.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    clock::{now, pause},
    http::{Request, once},
    world::World,
};

/// How long the nodes are left alone.
const REST: u64 = 4_000;

/// Statements a second that each node sends while nothing happens; `None` where there is no link to count them on.
pub(crate) fn idle(world: &World) -> Option<f64> {
    let count = || -> Option<u64> {
        let links = world.cluster.nodes.iter().map(|node| node.database.as_ref());
        links.map(|link| link.map(crate::proxy::Link::statements)).sum()
    };
    pause(1_000);
    let (began, before) = (now(), count()?);
    pause(REST);
    let (ended, after) = (now(), count()?);
    let nodes = f64::from(u32::try_from(world.cluster.nodes.len()).unwrap_or(1));
    let seconds = Duration::from_micros(ended - began).as_secs_f64();
    Some(f64::from(u32::try_from(after - before).unwrap_or_default()) / seconds / nodes)
}

/// A histogram of the nodes, put together: upper bounds in seconds, with how many were at most that.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Histogram {
    buckets: Vec<(f64, u64)>,
}

impl Histogram {
    pub(crate) fn count(&self) -> u64 {
        self.buckets.last().map_or(0, |(_, count)| *count)
    }

    /// The upper bound of the bucket in which a share of all lies, in milliseconds.
    pub(crate) fn at_most(&self, permille: u64) -> f64 {
        let wanted = (self.count() * permille).div_ceil(1_000);
        let found = self.buckets.iter().find(|(_, count)| *count >= wanted);
        found.map_or(0.0, |(bound, _)| bound * 1_000.0)
    }
}

/// The histograms of a metric, by the values of their labels, over all nodes.
pub(crate) fn histograms(world: &World, metric: &str) -> BTreeMap<String, Histogram> {
    let mut all: BTreeMap<String, Histogram> = BTreeMap::new();
    for node in &world.cluster.nodes {
        let request = Request::new("GET", "/metrics");
        if let Ok(answer) = once(node.ops, &request, Duration::from_secs(5)) {
            add(&mut all, &answer.body, metric);
        }
    }
    all
}

fn add(all: &mut BTreeMap<String, Histogram>, text: &str, metric: &str) {
    let mut own: BTreeMap<String, Vec<(f64, u64)>> = BTreeMap::new();
    for line in text.lines() {
        let Some((labels, count)) = line
            .strip_prefix(metric)
            .and_then(|rest| rest.strip_prefix("_bucket{"))
            .and_then(|rest| rest.split_once("} "))
        else {
            continue;
        };
        let label = |wanted: bool| {
            labels
                .split(',')
                .filter_map(|label| label.split_once('='))
                .filter(|(name, _)| (*name == "le") == wanted)
                .map(|(_, value)| value.trim_matches('"'))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let bound = label(true);
        let bound = if bound == "+Inf" {
            f64::INFINITY
        } else {
            bound.parse().unwrap_or_default()
        };
        own.entry(label(false))
            .or_default()
            .push((bound, count.parse().unwrap_or_default()));
    }
    for (labels, buckets) in own {
        let sum = &mut all.entry(labels).or_default().buckets;
        if sum.is_empty() {
            *sum = buckets;
        } else {
            sum.iter_mut().zip(buckets).for_each(|(sum, (_, count))| sum.1 += count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_of_several_nodes_are_one() {
        let text = "# TYPE t_seconds histogram\nt_seconds_bucket{path=\"l1\",le=\"0.001\"} 98\nt_seconds_bucket{path=\"l1\",le=\"0.01\"} 99\nt_seconds_bucket{path=\"l1\",le=\"+Inf\"} 100\nt_seconds_sum{path=\"l1\"} 1\n";
        let mut all = BTreeMap::new();
        add(&mut all, text, "t_seconds");
        add(&mut all, text, "t_seconds");
        let l1 = &all["l1"];
        assert_eq!(l1.count(), 200);
        assert_eq!(l1.at_most(500), 1.0);
        assert_eq!(l1.at_most(990), 10.0);
    }
}
