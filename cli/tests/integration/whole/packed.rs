//! An image packed from packages of this machine's Debian: a database server, a web server, a shell.
//!
//! Their programs, the libraries that `ldd` names, and the directories that they read at run time; nothing is fetched.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Where PostgreSQL's programs lie in the image and here.
fn postgres_home() -> PathBuf {
    let homes = fs::read_dir("/usr/lib/postgresql").expect("Debian's package is installed");
    let mut homes: Vec<PathBuf> = homes.map(|home| home.unwrap().path()).collect();
    homes.retain(|home| home.join("bin/initdb").exists());
    homes.sort();
    homes.pop().expect("a PostgreSQL of this Debian")
}

/// An image in the engine; dropping it removes it.
pub struct Image {
    pub name: String,
}

impl Image {
    /// Packs and imports it.
    pub fn pack(name: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let home = postgres_home();
        let mut programs: Vec<PathBuf> =
            ["postgres", "initdb", "psql"].map(|name| home.join("bin").join(name)).into();
        programs.extend(
            ["/usr/sbin/apache2", "/bin/sh", "/bin/cat", "/bin/mkdir", "/usr/bin/tail"].map(PathBuf::from),
        );
        let libraries = ["plpgsql.so", "dict_snowball.so"].map(|name| home.join("lib").join(name));
        let modules = ["mpm_event", "authz_core", "proxy", "proxy_http"]
            .map(|name| PathBuf::from(format!("/usr/lib/apache2/modules/mod_{name}.so")));
        let files: BTreeSet<PathBuf> =
            programs.iter().chain(&libraries).chain(&modules).flat_map(|file| with_libraries(file)).collect();
        for file in &files {
            let target = beneath(root.path(), file);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(file, target).unwrap();
        }
        for directory in [Path::new("/usr/share/postgresql"), Path::new("/usr/share/zoneinfo/Etc")] {
            copy_all(directory, &beneath(root.path(), directory));
        }
        let etc = root.path().join("etc");
        fs::create_dir_all(&etc).unwrap();
        fs::write(etc.join("passwd"), "root:x:0:0::/:/bin/sh\nserver:x:999:999::/:/bin/sh\n").unwrap();
        fs::write(etc.join("group"), "root:x:0:\nserver:x:999:\n").unwrap();
        let tmp = root.path().join("tmp");
        fs::create_dir(&tmp).unwrap();
        fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777)).unwrap();
        let path = format!("PATH={}:/usr/sbin:/usr/bin:/bin", home.join("bin").display());
        import(root.path(), name, &path);
        Self { name: name.to_owned() }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rmi", "--force", &self.name]).output();
    }
}

fn beneath(root: &Path, absolute: &Path) -> PathBuf {
    root.join(absolute.strip_prefix("/").expect("an absolute path"))
}

/// The file and what its loader maps, all by the paths that the loader looks at.
fn with_libraries(file: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(file).output().expect("ldd runs");
    assert!(output.status.success(), "ldd {}: {}", file.display(), String::from_utf8_lossy(&output.stderr));
    let listing = String::from_utf8(output.stdout).unwrap();
    let libraries = listing.lines().flat_map(str::split_whitespace).filter(|word| word.starts_with('/'));
    std::iter::once(file.to_owned()).chain(libraries.map(PathBuf::from)).collect()
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn import(root: &Path, name: &str, path: &str) {
    let mut tar = Command::new("tar")
        .args(["--owner=0", "--group=0", "--numeric-owner", "-C"])
        .arg(root)
        .args(["-c", "."])
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar runs");
    let archive = tar.stdout.take().unwrap();
    let output = Command::new("docker")
        .args(["import", "--change", &format!("ENV {path}"), "-", name])
        .stdin(archive)
        .output()
        .expect("docker runs");
    assert!(tar.wait().unwrap().success());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
