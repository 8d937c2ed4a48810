//! The files of a hand-over beside the rows.

use crate::readme;
use crate::rows::{RowFormat, RowTotals};
use crate::settings::{Recipes, Tool};
use crate::sheet::Sheet;
use crate::{axolotl, launch, llama_factory, trl};
use retort_training::TrainBlock;
use std::collections::BTreeMap;

/// The texts of all files beside the rows, by their paths inside the folder of the recipes. `block` is what
/// [`Recipes::train`] names; `seed` is that of the run.
pub fn files(
    recipes: &Recipes,
    block: &TrainBlock,
    rows: &RowTotals,
    format: RowFormat,
    seed: u64,
) -> BTreeMap<String, String> {
    // What transformers' `set_seed` takes.
    let seed = seed % (1 << 32);
    let mut files = BTreeMap::new();
    let mut differences = Vec::new();
    for tool in recipes.tools.iter().copied() {
        let folder = tool.name();
        let mut put = |name: &str, text: String| {
            files.insert(format!("{folder}/{name}"), text);
        };
        let sheet: Sheet = match tool {
            Tool::Trl => {
                put("accelerate.yaml", launch::accelerate(recipes));
                put("requirements.txt", trl::requirements(block));
                trl::settings(recipes, block, seed)
            }
            Tool::Axolotl => {
                put("requirements.txt", axolotl::REQUIREMENTS.to_owned());
                axolotl::settings(recipes, block, format, seed)
            }
            Tool::LlamaFactory => {
                put("requirements.txt", llama_factory::REQUIREMENTS.to_owned());
                put("prepare.py", llama_factory::PREPARE.to_owned());
                put("dataset_info.json", pretty(&llama_factory::dataset_info(block, format)));
                if recipes.devices() > 1 {
                    put("ds_z3.json", pretty(&llama_factory::zero_3()));
                }
                llama_factory::settings(recipes, block, seed)
            }
        };
        put(tool.settings_file(block.method), sheet.text().to_owned());
        put("run.sh", launch::script(tool, recipes, block));
        put("train.slurm", launch::slurm(tool, recipes));
        put("sky.yaml", launch::sky(tool, recipes));
        differences.push((tool, sheet.differences));
    }
    files.insert("parity/check.py".into(), include_str!("templates/check.py").to_owned());
    files.insert("README.md".into(), readme::text(recipes, block, rows, &differences));
    files
}

fn pretty(value: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
