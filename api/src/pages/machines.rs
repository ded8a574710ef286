//! Hosts and their GPUs, with what is taken of them.

use askama::Template;
use axum::{extract::State, response::Response};
use cyberbrain_common::db::{self, begin_snapshot, overview};

use super::{Session, Viewer, bar::Bar, html, words};
use crate::{
    app::App,
    problem::Problem,
    views::{GpuView, HostView},
};

#[derive(Template)]
#[template(path = "machines.html")]
struct MachinesPage {
    viewer: Viewer,
    hosts: Vec<(HostView, Vec<GpuView>)>,
}

/// `GET /machines`.
pub(crate) async fn list(State(app): State<App>, session: Session) -> Result<Response, Problem> {
    let mut connection = app.connection().await?;
    let mut snapshot = begin_snapshot(&mut connection).await?;
    let hosts = overview::hosts(&mut snapshot, None).await?;
    let gpus = overview::gpus(&mut snapshot, None).await?;
    snapshot.commit().await.map_err(db::Error::from)?;
    drop(connection);
    let mut gpus: Vec<GpuView> = gpus.into_iter().map(Into::into).collect();
    let with_gpus = hosts.into_iter().map(|host| {
        let host = HostView::from(host);
        let (own, others) =
            std::mem::take(&mut gpus).into_iter().partition(|gpu: &GpuView| gpu.host == host.name);
        gpus = others;
        (host, own)
    });
    let hosts = with_gpus.collect();
    html(&MachinesPage { viewer: Viewer::new(&session), hosts })
}

impl HostView {
    fn cpu(&self) -> Bar {
        Bar::new(self.cpu_millis.into(), &[("reserved", self.reserved_cpu_millis.into())])
    }

    fn memory(&self) -> Bar {
        Bar::new(self.memory_mib.into(), &[("reserved", self.reserved_memory_mib.into())])
    }
}

impl GpuView {
    /// Reserved for workers, then what others use.
    fn vram(&self) -> Bar {
        let amounts = [("reserved", self.reserved_mib.into()), ("foreign", self.foreign_mib().into())];
        Bar::new(self.total_mib.into(), &amounts)
    }

    fn foreign_mib(&self) -> i32 {
        self.observed.as_ref().map_or(0, |seen| seen.foreign_mib.saturating_add(seen.overshoot_mib))
    }
}
