//! `eyego check-config`: the effective settings, where each came from, and what is wrong with them.

use super::{BAD_CONFIGURATION, OK, complain, say};
use crate::config::{CATALOG, Layer, Layers};

pub(super) fn run(layers: &Layers, problems: &[String]) -> u8 {
    for setting in CATALOG {
        let (value, layer) = layers.get(setting);
        let shown = match value {
            "" => "(not set)",
            _ if setting.secret && layer != Layer::Default => "***",
            value => value,
        };
        say(&format!("{}={shown}  [{}]", setting.name, layer.as_str()));
    }
    if problems.is_empty() {
        say("the configuration is valid");
        return OK;
    }
    complain(problems);
    BAD_CONFIGURATION
}
