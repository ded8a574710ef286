//! `Station`: one host to be played, with its engine and its GPUs; and how the options choose them.

use std::{path::PathBuf, sync::Arc};

use crate::{
    args::{Args, RuntimeChoice},
    error::Error,
    gpu::{ProbeChoice, SimulatedGpus},
    image::running_executable,
    imitate,
    runtime::{
        DockerOptions, DockerRuntime, GpuInjection, ProcessRuntime, Program, SimulatedOptions,
        SimulatedRuntime, WorkerRuntime,
    },
};

/// One host to be played.
#[derive(Debug)]
pub struct Station {
    /// Unique label of the host.
    pub name: String,
    pub runtime: Arc<dyn WorkerRuntime>,
    pub gpus: ProbeChoice,
    /// What the built-in worker image is made of.
    pub executable: PathBuf,
    /// Our own mounts when we run in a container of this engine ourselves: path here, path on its host.
    pub mounts: Vec<(PathBuf, PathBuf)>,
}

/// Makes what the options ask for.
///
/// # Errors
/// When the engine does not answer, or an option can't be understood.
pub async fn stations(args: &Args) -> Result<Vec<Station>, Error> {
    let name = host_name(args)?;
    match args.engine.runtime {
        RuntimeChoice::Simulated => simulated(args, &name),
        RuntimeChoice::Docker => Ok(vec![docker(args, name).await?]),
        RuntimeChoice::Process => Ok(vec![process(args, name).await?]),
        RuntimeChoice::Auto => match docker(args, name.clone()).await {
            Ok(station) => Ok(vec![station]),
            Err(error @ Error::Engine(_)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "NO CONTAINER ENGINE ANSWERS: workers run as plain child processes, without isolation or limits, and only the built-in worker can run"
                );
                Ok(vec![process(args, name).await?])
            }
            Err(error) => Err(error),
        },
    }
}

async fn docker(args: &Args, name: String) -> Result<Station, Error> {
    let gpus = probe(args, &name)?;
    let gpu_injection = match gpus {
        ProbeChoice::Simulated(_) => GpuInjection::Simulated,
        ProbeChoice::Nvml { .. } | ProbeChoice::None => args.engine.gpu_injection,
    };
    let options = DockerOptions { host: args.engine.docker_host.clone(), gpu_injection };
    let runtime = DockerRuntime::connect(&options).await?;
    let mounts = runtime.own_mounts().await?;
    // In a container of that engine, "this machine" is the engine's: a container's own name changes with each new one.
    let engines_name =
        if args.host.is_none() && !mounts.is_empty() { runtime.host_name().await? } else { None };
    let name = engines_name.filter(|name| fits(name)).unwrap_or(name);
    Ok(Station { name, runtime: Arc::new(runtime), gpus, executable: running_executable(), mounts })
}

async fn process(args: &Args, name: String) -> Result<Station, Error> {
    let state = args.directories.data_dir.join("engines");
    let runtime = Arc::new(ProcessRuntime::connect(Program::builtin(), &state).await?);
    let gpus = probe(args, &name)?;
    Ok(Station { name, runtime, gpus, executable: running_executable(), mounts: Vec::new() })
}

fn simulated(args: &Args, name: &str) -> Result<Vec<Station>, Error> {
    (1..=args.engine.hosts)
        .map(|number| {
            let name =
                if args.engine.hosts == 1 { name.to_owned() } else { format!("{name}-sim-{number:04}") };
            let gpus = match &args.gpus.fake_gpus {
                Some(spec) => ProbeChoice::Simulated(SimulatedGpus::parse(spec, &name)?),
                None => ProbeChoice::None,
            };
            let options = SimulatedOptions {
                outputs: Some(Arc::new(imitate::outputs)),
                ..SimulatedOptions::named(name.clone())
            };
            let runtime = Arc::new(SimulatedRuntime::new(options));
            Ok(Station { name, runtime, gpus, executable: running_executable(), mounts: Vec::new() })
        })
        .collect()
}

fn probe(args: &Args, host: &str) -> Result<ProbeChoice, Error> {
    Ok(match &args.gpus.fake_gpus {
        Some(spec) => ProbeChoice::Simulated(SimulatedGpus::parse(spec, host)?),
        None => ProbeChoice::Nvml { library: args.gpus.nvml.clone() },
    })
}

/// Whether it is made of the characters that a host name may have.
fn fits(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(allowed)
}

/// The option, else what the machine calls itself.
fn host_name(args: &Args) -> Result<String, Error> {
    match &args.host {
        Some(given) if fits(given) => Ok(given.clone()),
        Some(given) => Err(Error::HostName { given: given.clone() }),
        None => {
            let own = rustix::system::uname().nodename().to_string_lossy().into_owned();
            if fits(&own) { Ok(own) } else { Err(Error::HostName { given: own }) }
        }
    }
}

impl Station {
    /// The GPUs, if they are simulated.
    pub(crate) fn simulated_gpus(&self) -> Option<SimulatedGpus> {
        match &self.gpus {
            ProbeChoice::Simulated(gpus) => Some(gpus.clone()),
            ProbeChoice::Nvml { .. } | ProbeChoice::None => None,
        }
    }
}
