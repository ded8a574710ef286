//! The archive that an engine's *load* takes: a manifest, the configuration and the layer, in one tar.

use std::io::{self, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

use super::{Error, Image};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Manifest<'a> {
    config: &'a str,
    repo_tags: [String; 2],
    layers: [&'a str; 1],
}

const BLOCK: usize = 512;

pub(super) fn write(image: &Image, to: &mut dyn Write) -> Result<(), Error> {
    let digest = image.layer.digest();
    let config_file = format!("{:x}.json", Sha256::digest(&image.config));
    let layer_file = format!("{digest}/layer.tar");
    let manifest = serde_json::to_vec(&[Manifest {
        config: &config_file,
        repo_tags: [format!("{}:{}", image.repository(), image.tag()), image.content_tag()],
        layers: [&layer_file],
    }])
    .map_err(Error::Configuration)?;
    small(to, "manifest.json", &manifest)?;
    small(to, &config_file, &image.config)?;
    to.write_all(header(&layer_file, image.layer.size())?.as_bytes())?;
    image.layer.write(to)?;
    pad(to, image.layer.size())?;
    // Two empty blocks end an archive.
    to.write_all(&[0; 2 * BLOCK])?;
    Ok(())
}

fn small(to: &mut dyn Write, path: &str, bytes: &[u8]) -> io::Result<()> {
    let size = bytes.len() as u64;
    to.write_all(header(path, size)?.as_bytes())?;
    to.write_all(bytes)?;
    pad(to, size)
}

fn pad(to: &mut dyn Write, size: u64) -> io::Result<()> {
    let beyond = (size % BLOCK as u64) as usize;
    if beyond > 0 {
        to.write_all(&[0; BLOCK][beyond..])?;
    }
    Ok(())
}

fn header(path: &str, size: u64) -> io::Result<Header> {
    let mut header = Header::new_gnu();
    header.set_path(path)?;
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    Ok(header)
}
