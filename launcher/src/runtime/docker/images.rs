//! Images: what is there, and loading one that was built here.

use std::{collections::BTreeMap, io, sync::Arc};

use bollard::query_parameters::{
    ImportImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use bytes::Bytes;
use futures::TryStreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{CHANGE, DockerRuntime, LOAD, READ, answer::Asked, bounded};
use crate::{
    image::Image,
    runtime::{
        error::{EngineCall, Error},
        name::ImageId,
        observe::ImageOnEngine,
    },
};

/// Size of a piece on the way to the engine, and how many may wait.
const PIECE_BYTES: usize = 256 * 1024;
const PIECES: usize = 8;

impl DockerRuntime {
    /// Sees to it that the engine holds this image under both of its tags, and returns the ID by which the
    /// engine knows it. Sends nothing if the engine has this content already.
    ///
    /// # Errors
    /// Those of the calls; none of them leaves a wrong image behind a tag.
    pub async fn load_image(&self, image: &Arc<Image>) -> Result<ImageId, Error> {
        let content_tag = image.content_tag();
        if let Some(id) = self.image_id(&content_tag).await? {
            self.tag_image(&content_tag, image).await?;
            return Ok(id);
        }
        self.send_image(image).await?;
        match self.image_id(&content_tag).await? {
            Some(id) => Ok(id),
            None => Err(Error::ImageMissing { image: content_tag }),
        }
    }

    /// Removes an image that no container uses: for tests and clean-up.
    ///
    /// # Errors
    /// [`Error::Refused`] while a container uses it.
    pub async fn remove_image(&self, image: &str) -> Result<(), Error> {
        let asked = Asked { call: EngineCall::RemoveImage, subject: image };
        let options = RemoveImageOptionsBuilder::new().force(true).build();
        bounded(asked, CHANGE, self.docker.remove_image(image, Some(options), None)).await.map(drop)
    }

    pub(super) async fn list_images(&self) -> Result<Vec<ImageOnEngine>, Error> {
        let asked = Asked { call: EngineCall::Images, subject: "images" };
        let options = ListImagesOptionsBuilder::new().digests(true).build();
        let images = bounded(asked, READ, self.docker.list_images(Some(options))).await?;
        Ok(images
            .into_iter()
            .map(|image| ImageOnEngine {
                id: image.id,
                tags: named(image.repo_tags),
                digests: named(image.repo_digests),
                size_bytes: u64::try_from(image.size).unwrap_or(0),
                labels: image.labels.into_iter().collect::<BTreeMap<_, _>>(),
            })
            .collect())
    }

    async fn image_id(&self, reference: &str) -> Result<Option<ImageId>, Error> {
        let asked = Asked { call: EngineCall::Images, subject: reference };
        match bounded(asked, READ, self.docker.inspect_image(reference)).await {
            Ok(found) => Ok(found.id.map(ImageId::parse).transpose()?),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn tag_image(&self, reference: &str, image: &Image) -> Result<(), Error> {
        let asked = Asked { call: EngineCall::LoadImage, subject: reference };
        let options = TagImageOptionsBuilder::new().repo(image.repository()).tag(image.tag()).build();
        bounded(asked, CHANGE, self.docker.tag_image(reference, Some(options))).await
    }

    /// Streams the archive while it is being written: it is never whole in memory or on disk.
    async fn send_image(&self, image: &Arc<Image>) -> Result<(), Error> {
        let subject = image.content_tag();
        let (pieces, receiver) = mpsc::channel::<io::Result<Bytes>>(PIECES);
        let writing = {
            let image = Arc::clone(image);
            tokio::task::spawn_blocking(move || {
                let mut to = io::BufWriter::with_capacity(PIECE_BYTES, Pieces(pieces.clone()));
                let written = image.write_archive(&mut to).and_then(|()| Ok(io::Write::flush(&mut to)?));
                if written.is_err() {
                    // Break the request, so that the engine does not take half an archive for a whole one.
                    let _ = pieces.blocking_send(Err(io::ErrorKind::Interrupted.into()));
                }
                written
            })
        };
        let asked = Asked { call: EngineCall::LoadImage, subject: &subject };
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        let sending = self.docker.import_image_stream(options, ReceiverStream::new(receiver), None);
        let sent = bounded(asked, LOAD, sending.try_for_each(|_| async { Ok(()) })).await;
        // The writer ends by itself once the request is over: its channel is closed, and only then it fails
        // with a broken pipe. Any other failure of it is the cause of the request's.
        match writing.await.map_err(crate::image::Error::from)? {
            Err(error) if !error.is_broken_pipe() => Err(error.into()),
            Ok(()) | Err(_) => sent,
        }
    }
}

/// The engine writes `<none>` where there is no name.
fn named(references: Vec<String>) -> Vec<String> {
    references.into_iter().filter(|reference| !reference.contains("<none>")).collect()
}

/// Hands what is written to the request, waiting where it is slower.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
