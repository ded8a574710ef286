//! What a running installation tells about itself, for people and for programs.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;

/// Everything needed to use and to watch the installation. Holds the admin key: for the owner's eyes.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    pub api: String,
    pub admin_key: String,
    pub database_url: String,
    pub data_dir: PathBuf,
    /// A scrape address per process, by role.
    pub metrics: BTreeMap<&'static str, Vec<String>>,
    /// Process ids by role.
    pub pids: BTreeMap<&'static str, Vec<u32>>,
}

impl Summary {
    /// Prints it for a person; the key stays in its file.
    pub fn print(&self) {
        println!("pages    {}", self.api);
        println!("API      {}/api/v1   (docs: {}/api/docs)", self.api, self.api);
        for (role, urls) in &self.metrics {
            for url in urls {
                println!("metrics  {url}   ({role})");
            }
        }
        println!("key      {}", self.data_dir.join("admin.key").display());
        println!("data     {}", self.data_dir.display());
    }
}
